"""The concept store is built once, whole or not at all."""

from __future__ import annotations

import shutil
from importlib.resources.abc import Traversable
from pathlib import Path

import pytest

from fhir_coder import prepare
from fhir_coder.errors import TerminologyError
from fhir_coder.model import CODE_SYSTEMS, HPO, ICD10CM, EntityType
from fhir_coder.settings import Settings
from fhir_coder.tables import folder
from fhir_coder.terminology import build
from fhir_coder.terminology.release import Concept, Name, Release
from fhir_coder.terminology.store import ConceptStore


def _release(system: str, *codes: str) -> Release:
    concepts = (
        Concept(
            code=code,
            display=f"thing {code}",
            type=EntityType.DISEASE,
            names=(Name(text=f"thing {code}", kind="preferred", mention=True),),
        )
        for code in codes
    )
    return Release(system=system, version="1", title=system, source=f"{system}.csv", sha256="", concepts=concepts)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources of a few concepts, one for each code system that gets an index."""
    monkeypatch.setattr(build.icd10cm, "load", lambda: _release(ICD10CM, "A00", "A01"))
    others = [system for system in CODE_SYSTEMS.values() if system != ICD10CM]
    monkeypatch.setattr(build.starter, "load", lambda: [_release(system, "1", "2") for system in others])
    monkeypatch.setattr(build.hpo, "load", lambda: _release(HPO, "HP:1"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with a data folder of our own."""
    return Settings.load(encoder="none", data_dir=tmp_path / "data")


def _made(settings: Settings) -> list[str]:
    return sorted(path.name for path in settings.data_dir.iterdir() if not path.name.endswith(".lock"))


def test_builds_once(small: None, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    made = prepare.prepare(settings)
    store = ConceptStore(made / prepare.STORE)
    assert store.concept("http://snomed.info/sct", "2") is not None
    store.close()
    assert _made(settings) == [made.name]
    monkeypatch.setattr(prepare, "build", lambda *_: pytest.fail("built again"))
    assert prepare.prepare(settings) == made


@pytest.mark.parametrize("error", [KeyboardInterrupt, TerminologyError])
def test_an_interrupted_build_leaves_nothing_behind(
    small: None, settings: Settings, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def interrupted(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(prepare.lexical, "build", interrupted)
        with pytest.raises(error):
            prepare.prepare(settings)
    assert _made(settings) == []
    assert _made(settings) != [prepare.prepare(settings).name]
    assert len(_made(settings)) == 1


def test_an_unfinished_folder_is_not_used(small: None, settings: Settings) -> None:
    made = prepare.prepare(settings)
    (made / "complete").unlink()
    (made / prepare.STORE).write_bytes(b"half")
    assert prepare.prepare(settings) == made
    ConceptStore(made / prepare.STORE).close()


def test_a_data_folder_that_cannot_be_made(small: None, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TerminologyError, match="FHIR_CODER_DATA_DIR"):
        prepare.prepare(Settings.load(encoder="none", data_dir=tmp_path / "file"))


@pytest.fixture
def mappings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tables, which the fingerprint is taken of."""
    copied = tmp_path / "mappings"
    source = folder("mappings")
    assert isinstance(source, Path)
    shutil.copytree(source, copied)

    def of_ours(name: str) -> Traversable:
        return copied if name == "mappings" else folder(name)

    monkeypatch.setattr(build, "folder", of_ours)
    return copied


@pytest.mark.parametrize("name", ["starter/snomed/oncology.csv", "starter/releases.csv", "common_words.csv"])
def test_fingerprint_changes_with_a_table(mappings: Path, name: str) -> None:
    before = build.fingerprint()
    assert build.fingerprint() == before
    with (mappings / name).open("a", encoding="utf-8") as table:
        table.write("\n")
    assert build.fingerprint() != before


def test_fingerprint_changes_with_a_new_table(mappings: Path) -> None:
    before = build.fingerprint()
    (mappings / "starter" / "new.csv").touch()
    assert build.fingerprint() != before


def test_encoder_folder(tmp_path: Path) -> None:
    assert prepare.encoder_folder(Settings.load(encoder="none")) is None
    assert prepare.encoder_folder(Settings.load(encoder=str(tmp_path))) == tmp_path


def test_each_encoder_has_vectors_of_its_own(tmp_path: Path) -> None:
    one = prepare.vectors_folder(tmp_path, Settings.load(encoder="minilm"))
    assert one != prepare.vectors_folder(tmp_path, Settings.load(encoder="minilm", encoder_pooling="cls"))
    assert one != prepare.vectors_folder(tmp_path, Settings.load(encoder="other"))
