"""What a process and all below it took, as Linux tells it in /proc; None where there is no /proc."""

from __future__ import annotations

import os
from pathlib import Path


def megabytes(process: int) -> float | None:
    """Return the memory of a process and all below it; pages that they share count once (proportional set size)."""
    tree = _tree(process)
    if not tree:
        return None
    return sum(_proportional(each) for each in tree) / 1e3


def cpu_seconds(process: int) -> float | None:
    """Return the CPU seconds that a process and all below it have used."""
    tree = _tree(process)
    if not tree:
        return None
    return sum(_ticks(each) for each in tree) / os.sysconf("SC_CLK_TCK")


def _tree(process: int) -> list[int]:
    """Return a process and all below it; empty when it is gone or there is no /proc."""
    try:
        below = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii").split()
    except OSError:
        return []
    return [process, *(each for child in below for each in _tree(int(child)))]


def _proportional(process: int) -> int:
    """Return kilobytes; 0 when the process is gone."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _ticks(process: int) -> int:
    """Return the time in user and kernel mode (proc(5), stat, fields 14 and 15); 0 when the process is gone."""
    try:
        after_name = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
    except OSError:
        return 0
    fields = after_name.split()
    return int(fields[11]) + int(fields[12])
