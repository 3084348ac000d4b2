"""What comes with the program is stored and indexed once, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_coder import prepare
from fhir_coder.errors import TerminologyError
from fhir_coder.model import CODE_SYSTEMS, SNOMED
from fhir_coder.settings import Settings
from fhir_coder.terminology.embedded import EMBEDDED
from fhir_coder.terminology.store import ConceptStore
from fhir_coder.terminology.stored_release import StoredRelease
from tests.unit.embedded import small_releases


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Small releases in place of the embedded ones, and the file that they are made by."""
    path = tmp_path / "loader.py"
    path.write_text("as it is")
    monkeypatch.setattr(prepare, "EMBEDDED", small_releases(path))
    return path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with a data folder of our own."""
    return Settings.load(encoder="none", data_dir=tmp_path / "data")


def _store(settings: Settings) -> ConceptStore:
    return ConceptStore([StoredRelease(place) for place in prepare.prepare(settings)])


def _stored(settings: Settings) -> list[str]:
    return sorted(str(path.relative_to(settings.data_dir)) for path in settings.data_dir.glob("terminology/*/*"))


@pytest.mark.usefixtures("code")
def test_stores_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    places = prepare.prepare(settings)
    assert len(places) == len(CODE_SYSTEMS)
    store = _store(settings)
    assert store.concept(SNOMED, "2") is not None
    store.close()
    monkeypatch.setattr(prepare, "store", lambda *_: pytest.fail("stored again"))
    assert prepare.prepare(settings) == places


def test_only_what_has_changed_is_stored_anew(settings: Settings, code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = prepare.prepare(settings)
    other = code.with_name("other.py")
    other.write_text("of another release")
    changed = (*small_releases(code)[:4], *small_releases(other)[4:])
    monkeypatch.setattr(prepare, "EMBEDDED", changed)
    after = prepare.prepare(settings)
    assert after[:4] == before[:4]
    assert after[4] != before[4]
    assert before[4].exists()  # a program of the last version may still run from it


def test_another_normal_form_makes_all_anew(settings: Settings, code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = prepare.prepare(settings)
    monkeypatch.setattr(prepare, "_CODE", [*prepare._CODE, code])
    assert set(before).isdisjoint(prepare.prepare(settings))


@pytest.mark.usefixtures("code")
@pytest.mark.parametrize("error", [KeyboardInterrupt, TerminologyError])
def test_an_interruption_leaves_nothing_half_done(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def interrupted(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(prepare.lexical, "build", interrupted)
        with pytest.raises(error):
            prepare.prepare(settings)
    assert _stored(settings) == []
    assert len(prepare.prepare(settings)) == len(CODE_SYSTEMS)


@pytest.mark.usefixtures("code")
def test_a_folder_without_manifest_is_not_used(settings: Settings) -> None:
    place = prepare.prepare(settings)[0]
    (place / "manifest.json").unlink()
    (place / "release.sqlite").write_bytes(b"half")
    _store(settings).close()


@pytest.mark.usefixtures("code")
def test_a_full_disk(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prepare.lexical, "build", full)
    with pytest.raises(TerminologyError, match="free some space"):
        prepare.prepare(settings)
    assert _stored(settings) == []


@pytest.mark.usefixtures("code")
def test_a_data_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TerminologyError, match="FHIR_CODER_DATA_DIR"):
        prepare.prepare(Settings.load(encoder="none", data_dir=tmp_path / "file"))


@pytest.mark.usefixtures("code")
def test_installed(settings: Settings) -> None:
    releases = prepare.installed(settings)
    assert [release.manifest.id for release in releases] == [f"{name}-small" for name in CODE_SYSTEMS]
    for release in releases:
        assert release.role == "active, comes with the program"
        assert release.bytes > 1000
        assert release.manifest.counts["concepts"] == 2


def test_every_embedded_release_has_its_sources() -> None:
    for release in EMBEDDED:
        assert release.digests()
        assert all(len(digest) == 64 for digest in release.digests().values())
        assert all(path.exists() for path in release.made_by)
        assert release.made_by


def test_encoder_folder(tmp_path: Path) -> None:
    assert prepare.encoder_folder(Settings.load(encoder="none")) is None
    assert prepare.encoder_folder(Settings.load(encoder=str(tmp_path))) == tmp_path


def test_each_encoder_has_vectors_of_its_own() -> None:
    one = prepare.vectors_folder(Settings.load(encoder="minilm"))
    assert one != prepare.vectors_folder(Settings.load(encoder="minilm", encoder_pooling="cls"))
    assert one != prepare.vectors_folder(Settings.load(encoder="other"))
