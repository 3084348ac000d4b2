"""CodiEsp's folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fhir_coder.corpora.read import read_corpus
from fhir_coder.errors import CorpusError


@pytest.fixture
def folder(write: Callable[[str, str], Path]) -> Path:
    """Two splits of a note each."""
    write("dev_text_en/S1.txt", "Gout.\n")
    write("train_text_en/S2.txt", "Asthma.\n")
    write("train_icd10cm.tsv", "S2\tj45.909\n")
    return write("dev_icd10cm.tsv", "S1\tm10.9\nS1\tr52\nS1\tM10.9\n").parent


def test_folder_and_table(folder: Path) -> None:
    first, second = read_corpus(folder)
    assert (first.id, first.text, first.codes, first.annotations) == ("S1", "Gout.\n", ("M10.9", "R52"), ())
    assert second.codes == ("J45.909",)
    (alone,) = read_corpus(folder / "train_icd10cm.tsv")
    assert alone == second


@pytest.mark.parametrize(
    "line", ["S1", "S1\t", "\tm10.9", "../S1\tm10.9", "..\tm10.9", "S1\tm10.9\tmore", "a\\b\tm10.9"]
)
def test_what_is_wrong_is_named_with_its_line(folder: Path, line: str) -> None:
    table = folder / "dev_icd10cm.tsv"
    table.write_text(f"S1\tm10.9\n{line}\n", encoding="utf-8")
    with pytest.raises(CorpusError) as raised:
        list(read_corpus(table))
    assert raised.value.place == "dev_icd10cm.tsv:2"


def test_a_missing_note(folder: Path) -> None:
    (folder / "dev_text_en" / "S1.txt").unlink()
    with pytest.raises(CorpusError, match=r"S1\.txt: No such file"):
        list(read_corpus(folder))
