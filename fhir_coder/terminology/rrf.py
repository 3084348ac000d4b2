"""Rows of RxNorm's Rich Release Format: fields that each end with "|", no header, no quoting.

https://www.nlm.nih.gov/research/umls/rxnorm/docs/techdoc.html#s12_0
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from fhir_coder.terminology.source import SourceFile

# Of the column SUPPRESS: obsolete, suppressed by an editor, a drug that is prescribed in quantified forms only.
SUPPRESSED = frozenset("OYE")


def rows(
    file: SourceFile, columns: int, sab: int, skipped: Counter[str] | None = None
) -> Iterator[tuple[int, list[str]]]:
    """Yield the fields of the lines whose source (column `sab`, from 0) is RxNorm itself, with their number.

    Lines of other sources are most of a full release: their fields are counted, but not taken apart, and the lines
    go into `skipped`. Raises `TerminologyError` where a line has another number of fields.
    """
    others = 0
    for number, line in file.lines():
        if line.count("|") != columns:
            if line.strip():
                found = line.count("|")
                raise file.error(
                    f"{found} columns (each ends with a |) instead of {columns}; is the file cut off?", number
                )
        elif "|RXNORM|" in line and (fields := line.split("|"))[sab] == "RXNORM":
            yield number, fields
        else:
            others += 1
    if skipped is not None and others:
        skipped[f"{file.base_name}: rows of other sources than RXNORM"] += others


def rxcui(file: SourceFile, text: str, number: int, column: str) -> int:
    """Return an RXCUI as a number. Raises `TerminologyError` when it is none."""
    if text.isascii() and text.isdecimal():
        return int(text)
    raise file.error(f"{text!r} is no RXCUI, which is a number; is this a file of RxNorm?", number, column)
