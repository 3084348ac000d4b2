"""What the terminology operations speak of: a code system in its loaded version, a value set, a concept.

A code system is known when a complete release of it is loaded. Of each the value set of all its codes is known, which
R4 names without a resource: https://hl7.org/fhir/R4/snomedct.html (4.3.1.0.5), https://hl7.org/fhir/R4/loinc.html
(4.3.2.0.6). What is not known is answered with 404, as HAPI FHIR and Ontoserver do, and not with `result` false: that
would say that the code is wrong.
"""

from __future__ import annotations

import re

from fhir_coder.errors import InputError
from fhir_coder.model import CODE_SYSTEMS, SNOMED
from fhir_coder.service.terminology_call import Call, Coded
from fhir_coder.terminology.store import COMBINATION, ConceptStore, StoredConcept

_ALL_CODES = ("?fhir_vs", "/vs")  # how the value set of all codes of a system ends
_SNOMED_VERSION = re.compile(rf"{SNOMED}/[0-9]+(/version/[0-9]+)?")
_ENGLISH = re.compile(r"en(-[A-Za-z0-9]{1,8})*")


def loaded_version(store: ConceptStore, system: str, version: str | None, place: str) -> str:
    """Return the version of a code system that is loaded.

    Raises `InputError` when none is, or another than `version`; of SNOMED CT, an edition without a date is any of its
    versions.
    """
    base = store.base(system)
    if base is None:
        raise InputError(
            "this code system is not loaded; GET /fhir/metadata?mode=terminology lists those that are, "
            "'fhir-coder terminology import' adds one",
            place=place,
            code="not-found",
        )
    loaded = base.head.version
    if version and loaded != version and not loaded.startswith(f"{version}/version/"):
        raise InputError(f"this version is not loaded; {loaded} is", place=place, code="not-found")
    return loaded


def value_set_system(store: ConceptStore, url: str, version: str | None, place: str) -> str:
    """Return the code system of the value set of all its codes. Raises `InputError` when it is another, or unknown.

    A version may stand in the URL ("http://loinc.org/vs|2.81", "http://snomed.info/sct/731000124108?fhir_vs").
    """
    canonical, _, stated = url.partition("|")
    ending = next((ending for ending in _ALL_CODES if canonical.endswith(ending)), None)
    if ending is None:
        raise InputError(
            "this value set is not known; known is that of all codes of a loaded code system, whose URL is that of "
            "the code system and ?fhir_vs (or /vs)",
            place=place,
            code="not-found",
        )
    system = canonical.removesuffix(ending)
    if _SNOMED_VERSION.fullmatch(system):
        system, stated = SNOMED, stated or system
    loaded_version(store, system, stated or version, place)
    return system


def known_concept(store: ConceptStore, asked: Coded) -> StoredConcept | None:
    """Return the concept of a code, or None. Raises `InputError` when its system, or this version, is not loaded."""
    loaded_version(store, asked.system, asked.version, asked.place)
    return None if is_internal(asked.code) else store.concept(asked.system, asked.code)


def is_internal(code: str) -> bool:
    """Tell whether this is no code, but our own key of a combination that has none."""
    return code.startswith(COMBINATION)


def is_abstract(concept: StoredConcept) -> bool:
    """Tell whether a concept only groups others. A system that is never emitted has headers only, for another reason.

    https://hl7.org/fhir/R4/codesystem-concept-properties.html: notSelectable
    """
    return concept.status == "header" and concept.system in CODE_SYSTEMS.values()


def designations(store: ConceptStore, concept: StoredConcept) -> list[str]:
    """Return the names of a concept besides its display; an entry of an alphabetic index is none."""
    names = dict.fromkeys(name.text for name in store.names_of(concept) if name.kind != "index")
    return [text for text in names if text != concept.display]


def require_english(call: Call) -> None:
    """Raise `InputError` when names in another language are asked for: which language a name is in is not stored."""
    language = call.text("displayLanguage")
    if language and not _ENGLISH.fullmatch(language):
        raise InputError(
            "names are in English only; leave the parameter out", place=call.place("displayLanguage"), code="not-found"
        )
