"""`fhir-coder train encoder`: from names that mean the same to an encoder that loads."""

from __future__ import annotations

import json
from itertools import islice, permutations
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fhir_coder.errors import TrainingError
from fhir_coder.linking.encoder import Encoder
from fhir_coder.model import ICD10CM
from fhir_coder.terminology.release import Concept, Name
from fhir_coder.training.align import Aligner, Recipe
from fhir_coder.training.encoder import Job, train_encoder
from fhir_coder.training.name_noise import misspelt, rough
from fhir_coder.training.synonyms import groups_of, is_held_out, read_concepts
from tests.unit.training.small_corpus import SENTENCES

QUICK = Recipe(steps=2, concepts=12, threads=1)
SSSOM = """# curie_map: none
subject_id\tsubject_label\tpredicate_id\tobject_id\tobject_label
MONDO:1\tgout\tskos:exactMatch\tmesh:D006073\tGouty diathesis
MONDO:2\tflu\tskos:exactMatch\tICD10CM:J11\tInfluenza
MONDO:3\tfever\tskos:broadMatch\tmesh:D005334\tPyrexia
"""
PUBTATOR = """1|t|Podagra and more.
1\t0\t7\tPodagra\tDisease\tD006073
1\t0\t7\tseveral things\tDisease\tD006073|D000001
1\t0\t7\tnothing\tDisease\t-1
"""


def _table(folder: Path, concepts: int = 20) -> Path:
    path = folder / "names.csv"
    words = sorted({word.lower().strip(".,") for sentence, _ in SENTENCES for word in sentence.split()})
    pairs = list(islice(permutations(words, 2), concepts))
    rows = [f"X:{place},{name}" for place, (a, b) in enumerate(pairs) for name in (f"{a} {b}", f"{a} {place} {b} {b}")]
    path.write_text("concept,name\n" + "\n".join(rows) + "\n")
    return path


def test_names_of_all_kinds_of_files_come_together(tmp_path: Path, make: Any) -> None:
    (tmp_path / "m.sssom.tsv").write_text(SSSOM)
    (tmp_path / "m.pubtator").write_text(PUBTATOR)
    release = make(ICD10CM, "complete", Concept("J11", "Flu NOS", "disease"), Name("J11", "Flu NOS", "preferred", True))
    concepts = read_concepts([release.folder], [tmp_path / "m.sssom.tsv", tmp_path / "m.pubtator"])
    found = {frozenset(names) for _, names in concepts.groups()}
    assert {"gout", "Gouty diathesis", "Podagra"} in found
    assert {"flu", "Influenza", "Flu NOS"} in found
    assert len(found) == 2  # what fever is not exactly the same as says nothing of its names


def test_one_concept_in_ten_is_held_out(tmp_path: Path) -> None:
    groups = groups_of([], [_table(tmp_path, 1000)])
    held_out = sum(is_held_out(f"X:{number}") for number in range(1000))
    assert len(groups) == 1000 - held_out
    assert 60 < held_out < 140


def test_names_that_are_nearly_the_same_teach_nothing(tmp_path: Path) -> None:
    path = tmp_path / "names.tsv"
    path.write_text("concept\tname\nX:0\tfracture\nX:0\tFractures\nX:2\tgout\nX:2\tpodagra\n")
    assert groups_of([], [path]) == [("gout", "podagra")]


def test_encounters_and_causes_are_left_out(make: Any) -> None:
    facts = [
        fact
        for code in ("S52.501A", "W01.0", "J11")
        for fact in (
            Concept(code, f"name of {code}", "disease"),
            Name(code, f"name of {code}", "preferred", True),
            Name(code, f"other for {code}", "synonym", True),
        )
    ]
    release = make(ICD10CM, "complete", *facts)
    assert groups_of([release.folder], []) == [("name of J11", "other for J11")]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "code,name\n", "expected concept,name"),
        ("a.csv", "concept,name\nX\n", "a.csv:2"),
        ("a.xml", "", "names are read from"),
        ("none.csv", None, "cannot be read"),
    ],
)
def test_faulty_files(tmp_path: Path, name: str, text: str | None, said: str) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(TrainingError, match=said):
        groups_of([], [path])


def test_two_steps_make_an_encoder_that_loads(tiny: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    job = Job(folders=[], files=[_table(tmp_path, 60)], base=tiny, out=tmp_path / "out", recipe=QUICK)
    said: list[str] = []
    kept = train_encoder(job, said.append, lambda *_: None)
    assert kept > 0.97
    assert "names to train on" in said[0]
    texts = ["thing 1", "object 2 and more", "x"]
    rounded, trained = Encoder(job.out, "mean").encode(texts), Encoder(job.out / "torch", "mean").encode(texts)
    assert (rounded * trained).sum(axis=1).min() > 0.97
    config = json.loads((job.out / "config.json").read_text())
    assert config["hidden_size"] == rounded.shape[1]
    assert len(config["sha256"]) == 64
    with pytest.raises(TrainingError, match="there already"):
        train_encoder(job, said.append, lambda *_: None)


def test_training_brings_names_of_one_concept_together(tiny: Path, tmp_path: Path) -> None:
    groups = groups_of([], [_table(tmp_path, 40)])
    losses: list[float] = []
    recipe = Recipe(steps=60, concepts=24, rate=3e-3, threads=1)
    Aligner(tiny, recipe).fit(groups, lambda _, __, loss: losses.append(loss))
    assert len(losses) == 60
    assert losses[-1] < losses[0]


def test_too_few_names(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="too few"):
        Aligner(tiny, QUICK).fit(groups_of([], [_table(tmp_path, 3)]), lambda *_: None)


def test_a_base_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no model can be loaded"):
        Aligner(tmp_path, QUICK)


def test_rough_names() -> None:
    random = Random(1)  # noqa: S311  # nothing secret
    written = [rough("chronic obstructive pulmonary disease of the lung", random) for _ in range(200)]
    assert 60 < sum(text == "chronic obstructive pulmonary disease of the lung" for text in written) < 140
    assert all(written)
    assert rough("A", random) == "A"
    assert rough("", random) == ""
    assert all(misspelt("gout", random) for _ in range(50))


def test_names_of_other_systems_are_left_out(make: Any) -> None:
    names = [Name("1", text, "synonym", True) for text in ("gout", "podagra")]
    assert groups_of([make("urn:other", "complete", Concept("1", "gout", "disease"), *names).folder], []) == []
