"""The journal of a long run: which inputs are done, so that an interrupted one goes on where it stopped.

One JSON object on each line, the last one of a path counts: {"path", "size", "changed", "failures"}. `size` and
`changed` (nanoseconds) tell whether the file is still the one that was coded; an input with failures is not done.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fhir_coder.errors import InputError

_LINE_START = '{"path": "'


class Journal:
    """A journal on disk. A context manager."""

    def __init__(self, path: Path) -> None:
        """Raises `InputError` when the file cannot be read or written, or is no journal."""
        self._done: dict[str, tuple[int, int]] = {}
        try:
            if path.exists():
                self._read(path)
            self._file = path.open("a", encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"the journal {path} cannot be used ({type(error).__name__}); choose another file"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def is_done(self, path: Path) -> bool:
        """Return whether a file was coded without a failure, and has not changed since."""
        state = _state(path)
        return state is not None and self._done.get(str(path)) == state

    def write(self, path: Path, failures: Sequence[str]) -> None:
        """Note that a file was coded. `failures` say why some of it was not, and hold no text of it."""
        state = _state(path)
        if state is None:  # standard input, or a file that is gone
            return
        line = {"path": str(path), "size": state[0], "changed": state[1], "failures": list(failures)}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def _read(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        whole, cut_off = text[: text.rfind("\n") + 1], text[text.rfind("\n") + 1 :]
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                entry: dict[str, Any] = json.loads(line)
                name, state, failed = entry["path"], (entry["size"], entry["changed"]), entry["failures"]
            except (ValueError, KeyError, TypeError):
                raise _no_journal(path, number) from None
            if failed:
                self._done.pop(name, None)
            else:
                self._done[name] = state
        if cut_off:  # the last run ended while it wrote this line
            if not cut_off.startswith(_LINE_START[: len(cut_off)]):
                raise _no_journal(path, text.count("\n") + 1)
            os.truncate(path, len(whole.encode()))


def _no_journal(path: Path, number: int) -> InputError:
    return InputError(f"{path}:{number}: is no line of a journal; choose another file")


def _state(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
