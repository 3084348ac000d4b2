"""Releases are imported, activated and removed: whole or not at all, and one of each system is active."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from fhir_coder import imports, prepare
from fhir_coder.errors import TerminologyError
from fhir_coder.model import ICD10CM, SNOMED
from fhir_coder.settings import Settings
from fhir_coder.terminology.catalogue import Catalogue
from fhir_coder.terminology.release import Options
from fhir_coder.terminology.store import ConceptStore
from fhir_coder.terminology.stored_release import StoredRelease
from tests.unit.embedded import small_releases


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with a data folder of our own, and small embedded releases."""
    code = tmp_path / "loader.py"
    code.write_text("as it is")
    monkeypatch.setattr(prepare, "EMBEDDED", small_releases(code))
    return Settings.load(encoder="none", data_dir=tmp_path / "data")


def _code_system(path: Path, version: str, *displays: str, url: str = ICD10CM) -> Path:
    resource = {
        "resourceType": "CodeSystem",
        "url": url,
        "version": version,
        "name": "ICD",
        "title": "A hospital's ICD-10-CM",
        "status": "active",
        "content": "complete",
        "concept": [{"code": f"A{number}", "display": display} for number, display in enumerate(displays)],
    }
    path.write_text(json.dumps(resource))
    return path


def _import(settings: Settings, path: Path, activate: bool = True, **options: str) -> imports.Imported:
    return imports.import_releases(settings, path, format_=None, options=Options(**options), activate=activate)


def _store(settings: Settings) -> ConceptStore:
    return ConceptStore([StoredRelease(place) for place in prepare.prepare(settings)])


def _display(settings: Settings, system: str, code: str) -> tuple[str, str] | None:
    store = _store(settings)
    concept = store.concept(system, code)
    store.close()
    return (concept.display, concept.version) if concept else None


def _files(settings: Settings) -> dict[str, bytes]:
    return {
        str(path.relative_to(settings.data_dir)): path.read_bytes()
        for path in settings.data_dir.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


def test_an_imported_release_takes_the_place_of_the_embedded_one(settings: Settings, tmp_path: Path) -> None:
    assert _display(settings, ICD10CM, "1") == ("thing 1", "small")
    (manifest,) = _import(settings, _code_system(tmp_path / "a.json", "2026", "Cholera")).manifests
    assert manifest.id == "icd10cm-2026"
    assert manifest.counts["concepts"] == 1
    assert list(manifest.sources) == ["a.json"]
    assert _display(settings, ICD10CM, "A0") == ("Cholera", "2026")
    assert _display(settings, ICD10CM, "1") is None


def test_two_releases_side_by_side(settings: Settings, tmp_path: Path) -> None:
    """The one imported last is active; the other can be made so; removing one gives way to the other."""
    _import(settings, _code_system(tmp_path / "a.json", "2025", "Old"))
    _import(settings, _code_system(tmp_path / "b.json", "2026", "New"))
    assert _display(settings, ICD10CM, "A0") == ("New", "2026")
    imports.activate(settings, "icd10cm-2025")
    assert _display(settings, ICD10CM, "A0") == ("Old", "2025")
    assert imports.remove(settings, "icd10cm-2025") is not None
    assert _display(settings, ICD10CM, "A0") == ("New", "2026")
    assert imports.remove(settings, "icd10cm-2026") is None
    assert _display(settings, ICD10CM, "1") == ("thing 1", "small")
    assert Catalogue(prepare.terminology_root(settings)).entries() == {}


def test_a_release_may_be_imported_without_activating_it(settings: Settings, tmp_path: Path) -> None:
    _import(settings, _code_system(tmp_path / "a.json", "2026", "New"), activate=False)
    assert _display(settings, ICD10CM, "A0") is None
    assert [release.role for release in prepare.installed(settings)][-1] == "not active"


def test_importing_twice_changes_nothing(settings: Settings, tmp_path: Path) -> None:
    path = _code_system(tmp_path / "a.json", "2026", "Cholera")
    assert _import(settings, path).is_new
    before = _files(settings)
    assert not _import(settings, path).is_new
    assert _files(settings) == before


def test_a_version_is_not_replaced_by_other_files(settings: Settings, tmp_path: Path) -> None:
    _import(settings, _code_system(tmp_path / "a.json", "2026", "Cholera"))
    with pytest.raises(TerminologyError, match="icd10cm-2026 is there already, from other files: remove it first"):
        _import(settings, _code_system(tmp_path / "a.json", "2026", "Cholera", "Typhoid"))
    _import(settings, tmp_path / "a.json", version="2026b")
    assert _display(settings, ICD10CM, "A1") == ("Typhoid", "2026b")


@pytest.mark.parametrize("fault", ["twice", "type", "cut"])
def test_a_faulty_release_changes_nothing(settings: Settings, tmp_path: Path, fault: str) -> None:
    _import(settings, _code_system(tmp_path / "a.json", "2026", "Cholera"))
    before = _files(settings)
    path = tmp_path / "b.csv"
    rows = [f"icd10cm,B{number},name {number},disease" for number in range(20_000)]
    if fault == "type":
        rows[19_990] = "icd10cm,B1,name,illness"
    path.write_text("\n".join(["system,code,name,type", *rows]) + ("\nicd10cm,B" if fault == "cut" else ""))
    if fault == "twice":
        path = _code_system(tmp_path / "b.json", "2027", "One", "Two")
        path.write_text(path.read_text().replace("A1", "A0"))
    with pytest.raises(TerminologyError) as caught:
        _import(settings, path, version="2027")
    assert path.name in str(caught.value) or fault == "twice"
    assert ("line 19992" in str(caught.value)) == (fault == "type")
    assert _files(settings) == before


def test_an_interruption_changes_nothing(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _import(settings, _code_system(tmp_path / "a.json", "2026", "Cholera"))
    before = _files(settings)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(prepare.lexical, "build", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _import(settings, _code_system(tmp_path / "b.json", "2027", "Cholera"))
    assert _files(settings) == before


def test_a_full_disk_changes_nothing(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _import(settings, _code_system(tmp_path / "a.json", "2026", "Cholera"))
    before = _files(settings)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prepare.lexical, "build", full)
    with pytest.raises(TerminologyError, match="nothing was changed"):
        _import(settings, _code_system(tmp_path / "b.json", "2027", "Cholera"))
    assert _files(settings) == before


def test_what_a_killed_import_left_behind_is_deleted(settings: Settings, tmp_path: Path) -> None:
    _import(settings, _code_system(tmp_path / "a.json", "2026", "Cholera"))
    left = Catalogue(prepare.terminology_root(settings)).folder("import.1.unfinished")
    left.mkdir()
    _import(settings, _code_system(tmp_path / "b.json", "2027", "Cholera"))
    assert not left.exists()


def test_names_of_a_hospital(settings: Settings, tmp_path: Path) -> None:
    """A supplement adds names to the active release, and leaves with `remove`."""
    path = tmp_path / "ours.csv"
    path.write_text("system,code,name,type\nsnomed,1,zorblax,\nsnomed,9,of nothing,\n")
    (manifest,) = _import(settings, path, version="1").manifests
    assert (manifest.kind, manifest.id) == ("supplement", "snomed-1-supplement-csv")
    store = _store(settings)
    assert [name.concept.code for name in store.names("zorblax")] == ["1"]
    assert store.names("of nothing") == ()
    store.close()
    imports.remove(settings, manifest.id)
    store = _store(settings)
    assert store.names("zorblax") == ()
    store.close()


def test_a_supplement_of_an_unknown_code_system(settings: Settings, tmp_path: Path) -> None:
    path = _code_system(tmp_path / "a.json", "1", "Name", url="http://x.example")
    resource = json.loads(path.read_text()) | {"content": "supplement", "supplements": "http://nobody.example"}
    path.write_text(json.dumps(resource))
    with pytest.raises(TerminologyError, match=r"import a complete release of http://nobody\.example first"):
        _import(settings, path)


def test_a_map_is_active_beside_the_releases(settings: Settings, tmp_path: Path) -> None:
    _code_system(tmp_path / "a.json", "2026", "Cholera")
    group = {
        "source": SNOMED,
        "target": ICD10CM,
        "element": [{"code": "1", "target": [{"code": "A0", "equivalence": "equivalent"}]}],
    }
    resource = {"resourceType": "ConceptMap", "version": "1", "name": "OurMap", "status": "active", "group": [group]}
    with zipfile.ZipFile(tmp_path / "both.zip", "w") as archive:
        archive.write(tmp_path / "a.json", "a.json")
        archive.writestr("map.json", json.dumps(resource))
    icd, mapped = _import(settings, tmp_path / "both.zip").manifests
    assert (icd.kind, mapped.kind) == ("complete", "map")
    store = _store(settings)
    assert [concept.code for concept, _ in store.mapped(SNOMED, "1", ICD10CM)] == ["A0"]
    store.close()


def test_an_imported_release_is_stored_anew_when_the_normal_form_changes(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From itself: the publisher's files may be gone."""
    path = _code_system(tmp_path / "a.json", "2026", "Cholera")
    (before,) = _import(settings, path).manifests
    path.unlink()
    other = tmp_path / "normalise.py"
    other.write_text("changed")
    monkeypatch.setattr(prepare, "_CODE", [*prepare._CODE, other])
    assert _display(settings, ICD10CM, "A0") == ("Cholera", "2026")
    ((after, _),) = Catalogue(prepare.terminology_root(settings)).manifests()
    assert after.code != before.code
    assert (after.sources, after.counts, after.imported) == (before.sources, before.counts, before.imported)


@pytest.mark.parametrize("command", [imports.activate, imports.remove])
def test_a_release_that_is_not_there(settings: Settings, command: Any) -> None:
    with pytest.raises(TerminologyError, match="no release 'icd10cm-1999' was imported; there are: none"):
        command(settings, "icd10cm-1999")


def test_no_such_file_and_no_such_format(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(TerminologyError, match="there is no such file"):
        _import(settings, tmp_path / "nothing")
    path = _code_system(tmp_path / "a.json", "2026", "Cholera")
    with pytest.raises(TerminologyError, match="unknown format 'icd11'"):
        imports.import_releases(settings, path, format_="icd11", options=Options(), activate=True)
    path.write_text("{}")
    with pytest.raises(TerminologyError, match="of no known format"):
        _import(settings, path)
