"""Tables: a row that does not fit is an error with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_coder import tables
from fhir_coder.errors import TableError

COLUMNS = ("word", "meaning")


@pytest.fixture
def mappings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of tables of our own."""
    monkeypatch.setattr(tables, "folder", lambda _: tmp_path)
    return tmp_path


def test_rows_are_stripped(mappings: Path) -> None:
    (mappings / "t.csv").write_text('word,meaning\n a ," b, c "\n', encoding="utf-8")
    assert tables.read_table("t.csv", COLUMNS) == [{"word": "a", "meaning": "b, c"}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", r"mappings/t\.csv: the header is , expected word,meaning"),
        (b"meaning,word\n", r"mappings/t\.csv: the header is meaning,word"),
        (b"word,meaning\na,b\nc\n", r"mappings/t\.csv:3: 1 cells, expected 2"),
        (b"word,meaning\na,b,c\n", r"mappings/t\.csv:2: 3 cells, expected 2"),
        (b'word,meaning\na,"b" c\n', r"mappings/t\.csv:2: "),
        (b"word,meaning\na,\xff\n", r"mappings/t\.csv: .*utf-8"),
    ],
)
def test_what_does_not_fit_is_named(mappings: Path, content: bytes, said: str) -> None:
    (mappings / "t.csv").write_bytes(content)
    with pytest.raises(TableError, match=said):
        tables.read_table("t.csv", COLUMNS)


def test_missing_table(mappings: Path) -> None:
    with pytest.raises(TableError, match="none\\.csv"):
        tables.read_table("none.csv", COLUMNS)


@pytest.mark.parametrize(("cell", "values"), [("", ()), ("a", ("a",)), (" a | |b|", ("a", "b"))])
def test_split(cell: str, values: tuple[str, ...]) -> None:
    assert tables.split(cell) == values


def test_profile(mappings: Path) -> None:
    (mappings / "p.json").write_text('{"resourceType": "Patient"}', encoding="utf-8")
    (mappings / "bad.json").write_text("{", encoding="utf-8")
    assert tables.read_profile("p.json") == {"resourceType": "Patient"}
    for name in ("bad.json", "none.json"):
        with pytest.raises(TableError, match=f"profiles/{name}"):
            tables.read_profile(name)
