"""Embedded releases of two concepts each, for tests that store and index them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fhir_coder.model import CODE_SYSTEMS, EntityType
from fhir_coder.terminology.embedded import Embedded
from fhir_coder.terminology.release import Concept, Import, Name, Release


def small_releases(made_by: Path) -> tuple[Embedded, ...]:
    """Return one embedded release per code system; `made_by` is the file whose change makes them anew."""
    return tuple(
        Embedded(
            id=f"{name}-small",
            system=system,
            load=_loading(system),
            digests=lambda: {"small.csv": "0" * 64},
            made_by=(made_by,),
            adds_to_imported=name != "icd10cm",
        )
        for name, system in CODE_SYSTEMS.items()
    )


def _loading(system: str) -> Callable[[], Import]:
    facts = [
        fact
        for code in ("1", "2")
        for fact in (
            Concept(code, f"thing {code}", EntityType.DISEASE),
            Name(code, f"thing {code}", "preferred", True),
        )
    ]
    release = Release(system=system, version="small", title=f"Small {system}")
    return lambda: Import(releases=(release,), facts=((0, fact) for fact in facts))
