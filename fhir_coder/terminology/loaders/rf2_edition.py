"""Which edition of SNOMED CT a release is, and of which date.

SNOMED CT Release File Specification (http://snomed.org/rfs): 3.3.2 names of files, 5.2 Module Dependency Reference Set.
The version is the URI of edition and date, as FHIR wants it (http://hl7.org/fhir/R4/snomedct.html, "Versions").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from fhir_coder.model import SNOMED
from fhir_coder.tables import read_table
from fhir_coder.terminology.loaders import rf2

_MODULE_DEPENDENCY = "900000000000534007"


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """How a release is called."""

    version: str
    title: str
    date: str  # 2026-03-01


def edition(files: rf2.Files, version: str | None) -> Edition:
    """Return the edition, under the version that the user gave, where one was given.

    The International Edition together with an extension is the edition of the extension.
    Raises `TerminologyError` when it cannot be told.
    """
    names = sorted(name for name in files.editions if name != "INT") or ["INT"]
    day = max(files.editions[name] for name in names)
    if version is None and len(names) > 1:
        raise files.tables[rf2.CONCEPT][0].error(
            f"there are files of several extensions ({', '.join(names)}): import one edition, or {_ask(day)}"
        )
    titles = [_editions()[name][1] if name in _editions() else f"edition {name}" for name in names]
    date = f"{day[:4]}-{day[4:6]}-{day[6:]}"
    return Edition(
        version=version or f"{SNOMED}/{_module(files, names[0], day)}/version/{day}",
        title=f"SNOMED CT, {' and '.join(titles)}, {date}",
        date=date,
    )


def _module(files: rf2.Files, name: str, day: str) -> str:
    """Return the module that names an edition: from our table, else that on which no other of its own depends."""
    if name in _editions():
        return _editions()[name][0]
    namespace = name.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    own, needed = set[str](), set[str]()
    for _, _, fields in files.rows(rf2.MODULE_DEPENDENCY):
        _, _, active, module, refset, dependency, since, _ = fields
        # Digits 4 to 10 from the right are the namespace of an identifier.
        if active == "1" and refset == _MODULE_DEPENDENCY and since == day and module[-10:-3] == namespace:
            own.add(module)
            needed.add(dependency)
    if len(own - needed) != 1:
        raise files.tables[rf2.CONCEPT][0].error(f"which edition {name} is cannot be told from its files: {_ask(day)}")
    return (own - needed).pop()


def _ask(day: str) -> str:
    return f"give --version {SNOMED}/<module of the edition>/version/{day}"


@cache
def _editions() -> Mapping[str, tuple[str, str]]:
    rows = read_table("terminology/snomed_editions.csv", ("country_namespace", "module", "title"))
    return {row["country_namespace"]: (row["module"], row["title"]) for row in rows}
