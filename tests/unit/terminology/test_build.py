"""The store is built whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_coder.errors import TerminologyError
from fhir_coder.model import HPO, ICD10CM, SNOMED, EntityType
from fhir_coder.terminology import build
from fhir_coder.terminology.release import Concept, MapRow, Measure, Name, Release
from fhir_coder.terminology.store import ConceptStore


def _concept(code: str, *names: str, type_: str = EntityType.DISEASE) -> Concept:
    return Concept(
        code=code,
        display=names[0],
        type=type_,
        names=tuple(Name(text=name, kind="synonym", mention=True) for name in names),
    )


def _release(system: str, *concepts: Concept, maps: tuple[MapRow, ...] = ()) -> Release:
    return Release(
        system=system,
        version="1",
        title=system,
        source=f"{system}.csv",
        sha256="",
        concepts=concepts,
        maps=maps,
        measures=(Measure(code="m", unit="mg", low=None, high=9.0),) if system == SNOMED else (),
        ingredients=(("a+b", "a"), ("a+b", "b")),
    )


def _sources(monkeypatch: pytest.MonkeyPatch, icd: Release) -> None:
    one = MapRow(source_system=SNOMED, source_code="1", target_system=ICD10CM, target_code="A00", origin="starter")
    monkeypatch.setattr(build.icd10cm, "load", lambda: icd)
    monkeypatch.setattr(build.starter, "load", lambda: [_release(SNOMED, _concept("1", "flu"), maps=(one, one))])
    monkeypatch.setattr(build.hpo, "load", lambda: _release(HPO))


def test_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ordinary words, words that assert, and concepts that are no entities are not looked for in notes."""
    _sources(
        monkeypatch,
        _release(
            ICD10CM,
            _concept("A00", "Cholera", "history of cholera", "about", "\u7cd6", "AM"),
            _concept("V00", "Walking", type_=""),
        ),
    )
    advanced: list[tuple[str, int]] = []
    build.build(tmp_path / "s.sqlite", lambda title, count: advanced.append((title, count)))
    store = ConceptStore(tmp_path / "s.sqlite")
    assert sorted(store.mention_keys()) == ["am", "cholera", "flu"]
    assert [concept.code for concept, _ in store.mapped(SNOMED, "1", ICD10CM)] == ["A00"]
    assert store.measures("m")[0].high == 9
    assert (ICD10CM, 2) in advanced
    store.close()


def test_a_code_that_stands_there_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _sources(monkeypatch, _release(ICD10CM, _concept("A00", "Cholera"), _concept("A00", "Cholera again")))
    with pytest.raises(TerminologyError, match=r"icd-10-cm\.csv: the code A00 stands there twice"):
        build.build(tmp_path / "s.sqlite", lambda *_: None)
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_was_there_survives_a_failed_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "s.sqlite").write_bytes(b"as it was")
    _sources(monkeypatch, _release(ICD10CM, _concept("A00", "Cholera"), _concept("A00", "Cholera again")))
    with pytest.raises(TerminologyError):
        build.build(tmp_path / "s.sqlite", lambda *_: None)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"as it was"]
