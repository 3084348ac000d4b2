"""Measure the reader on text that is no note: microseconds per character, at one length and at four times of it.

Run: .venv/bin/python benchmarks/hostile.py [characters]. The budget is 60 microseconds per character and 50 ms a text;
exit status 1 when a text takes longer. A reader without superlinear parts has the same figure in both columns.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
LENGTH = 250_000
PER_CHARACTER, PER_TEXT = 60e-6, 50e-3  # seconds


def main() -> int:
    """Measure and print."""
    sys.path.insert(0, str(ROOT))
    from fhir_coder import Coder
    from tests.unit.nlp.hostile import HOSTILE, of_length

    length = int(sys.argv[1]) if len(sys.argv) > 1 else LENGTH
    reader = Coder.from_settings().reader
    reader.read("No fever.")
    table = Table(title="Reader.read, CPU microseconds per character", title_justify="left")
    for column in ("text", f"{length:,}", f"{4 * length:,}", "entities"):
        table.add_column(column, justify="left" if column == "text" else "right")
    late = 0
    for kind, unit in HOSTILE.items():
        figures = []
        for size in (length, 4 * length):
            text = of_length(unit, size)
            begun = time.process_time()
            _, readings = reader.read(text)
            spent = time.process_time() - begun
            late += spent > PER_TEXT + PER_CHARACTER * size
            figures.append(f"{spent / size * 1e6:.2f}")
        table.add_row(kind, *figures, f"{len(readings):,}")
    Console(width=100).print(table)
    return int(late > 0)


if __name__ == "__main__":
    sys.exit(main())
