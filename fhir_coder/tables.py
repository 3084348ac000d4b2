"""The tables under `mappings/` and the FHIR definitions under `profiles/`, checked on load.

Clinical and mapping knowledge lives in CSV files that people can read and change. A row that does
not fit stops the program with file and line: a table half read would code half wrong.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from fhir_coder.errors import TableError

SEPARATOR = "|"  # between several values of one cell


@cache
def folder(name: str) -> Traversable:
    """Return the folder `mappings` or `profiles`: inside the installed package, or beside it in a checkout."""
    packaged = files("fhir_coder") / name
    return packaged if packaged.is_dir() else Path(__file__).resolve().parent.parent / name


def read_table(name: str, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of `mappings/<name>` as dicts of stripped cells.

    Raises `TableError`, with file and line, when the header is not `columns`, a row has another
    number of cells, or the file is not UTF-8.
    """
    place = folder("mappings").joinpath(*name.split("/"))
    try:
        lines = place.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"mappings/{name}: {error}") from error
    reader = csv.reader(lines, strict=True)
    try:
        header = tuple(next(reader, ()))
        if header != tuple(columns):
            raise TableError(f"mappings/{name}: the header is {','.join(header)}, expected {','.join(columns)}")
        rows = []
        for cells in reader:
            if len(cells) != len(header):
                raise TableError(f"mappings/{name}:{reader.line_num}: {len(cells)} cells, expected {len(header)}")
            rows.append({column: cell.strip() for column, cell in zip(header, cells, strict=True)})
    except csv.Error as error:
        raise TableError(f"mappings/{name}:{reader.line_num}: {error}") from error
    return rows


def split(cell: str) -> tuple[str, ...]:
    """Return the values of a cell that holds several, without empty ones."""
    return tuple(value for value in (part.strip() for part in cell.split(SEPARATOR)) if value)


def read_profile(name: str) -> dict[str, Any]:
    """Return the FHIR resource in `profiles/<name>`.

    Raises `TableError` when it is not there or not JSON.
    """
    try:
        resource: dict[str, Any] = json.loads(folder("profiles").joinpath(name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TableError(f"profiles/{name}: {error}") from error
    return resource
