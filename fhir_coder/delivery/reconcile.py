"""What the chart on the FHIR server holds already, from others: a note adds to it instead of repeating it.

A Condition that others wrote and that a note tells too gets the note as evidence, and no twin. Entries that have words
only get the codes that these words name exactly. A status is never touched, nothing is taken away, each change names
the version that it was made from, and a Provenance tells it.

Sources: https://hl7.org/fhir/R4/condition-definitions.html#Condition.evidence, https://hl7.org/fhir/R4/http.html#search
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fhir_coder.delivery.client import FhirClient, VersionConflictError, resolved
from fhir_coder.delivery.revision import Step, put
from fhir_coder.delivery.written import Written
from fhir_coder.fhir.identity import IDENTIFIER_SYSTEM
from fhir_coder.model import CODE_SYSTEMS, Candidate

Json = Mapping[str, Any]
Lookup = Callable[[str, str, int], Sequence[Candidate]]
"""The candidates for a text in a code system ("rxnorm"), the best first, at most so many."""

# Of these, nothing is said any more that could be added to.
_VOID = frozenset({"entered-in-error", "refuted"})
_CERTAIN = frozenset({"exact", "normalised"})
# Types with words only that get codes: the element with the words, and the code systems.
_WORDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "Condition": ("code", ("snomed", "icd10cm")),
    "AllergyIntolerance": ("code", ("rxnorm",)),
    "MedicationRequest": ("medicationCodeableConcept", ("rxnorm",)),
    "MedicationStatement": ("medicationCodeableConcept", ("rxnorm",)),
}


def place_of(client: FhirClient, reference: str, entries: Iterable[Json]) -> str | None:
    """Return where a resource stands on the server; None when it does not stand there, or there is more than one.

    The reference may be that of an entry which is created unless its identifier is known (`ifNoneExist`).
    """
    if not reference.startswith("urn:"):
        return reference
    entry = next((each for each in entries if each.get("fullUrl") == reference), None)
    identifiers = entry["resource"].get("identifier", ()) if entry else ()
    if entry and "masterIdentifier" in entry["resource"]:
        identifiers = [entry["resource"]["masterIdentifier"]]
    if entry is None or not identifiers:
        return None
    token = f"{identifiers[0].get('system', '')}|{identifiers[0].get('value', '')}"
    kind = entry["resource"]["resourceType"]
    found = client.search(kind, identifier=token)
    return f"{kind}/{found[0]['id']}" if len(found) == 1 else None


def add_evidence(client: FhirClient, document: str, steps: Sequence[Step]) -> list[Step]:
    """Return the steps, with evidence for what the patient's chart has from others in place of a new Condition.

    `document` is the identity of the note's document, for the ledger.
    """
    new = [each for each in steps if each.act == "new" and each.entry and _kind(each.entry) == "Condition"]
    codes = sorted({code for each in new if each.entry for code in _codes(each.entry["resource"].get("code", {}))})
    entries = [each.entry for each in steps if each.entry is not None]
    patient = patient_of(client, entries) if codes else None
    if patient is None:
        return list(steps)
    chart = [each for each in client.search("Condition", subject=patient, code=",".join(codes)) if _is_theirs(each)]
    made: list[Step] = []
    taken: set[str] = set()
    for step in steps:
        found = None
        if step in new and step.entry is not None:
            said = step.entry["resource"]
            found = next((each for each in chart if each["id"] not in taken and _is_same(said, each)), None)
        if found is None or step.entry is None:
            made.append(step)
            continue
        taken.add(found["id"])
        entry = {**step.entry, "resource": _resolved_evidence(client, step.entry["resource"], entries)}
        made.append(Step(act="evidence", entry=entry, row=_row(document, entry, found)))
    return _joined(made)


def patient_of(client: FhirClient, entries: Sequence[Json]) -> str | None:
    """Return where the patient of a Bundle stands on the server; None for one whom the server does not know yet."""
    subjects = [each["resource"].get("subject") or each["resource"].get("patient") or {} for each in entries]
    reference = next((str(each["reference"]) for each in subjects if "reference" in each), None)
    return place_of(client, reference, entries) if reference else None


def _resolved_evidence(client: FhirClient, ours: Json, entries: Sequence[Json]) -> dict[str, Any]:
    """Our Condition with the place of the document, where the server has that already: it may be evidence already."""
    references = {str(each["reference"]) for found in ours.get("evidence", ()) for each in found.get("detail", ())}
    places = {each: place for each in references if (place := place_of(client, each, entries))}
    return {**ours, "evidence": resolved(ours.get("evidence", []), places)}


def _joined(steps: Sequence[Step]) -> list[Step]:
    """One step where a replaced document was evidence of what this one is evidence of."""
    earlier = {
        each.row.place: each.row
        for each in steps
        if each.act == "retract" and each.row is not None and each.row.state == "evidence"
    }
    added = {each.row.place for each in steps if each.act == "evidence" and each.row is not None}
    return [
        replace(each, row=earlier.get(each.row.place, each.row)) if each.act == "evidence" and each.row else each
        for each in steps
        if not (each.act == "retract" and each.row and each.row.state == "evidence" and each.row.place in added)
    ]


def _row(document: str, entry: Json, theirs: Json) -> Written:
    return Written(
        identity=str(entry["fullUrl"]),
        document=document,
        type="Condition",
        place=f"Condition/{theirs['id']}",
        resource={"resourceType": "Condition"},  # nothing of it is ours yet
        content="",
        version=None,
        revision=0,
        state="evidence",
    )


def code_texts(client: FhirClient, patient: str, lookup: Lookup, told: Callable[[str], Json | None]) -> list[str]:
    """Add codes to entries in the chart of `patient` that have words only, and return the places of those.

    `told` makes the entry of the Provenance for a place. One that somebody changes at the same moment is left for the
    next time.
    """
    changed = []
    for kind, (element, systems) in _WORDS.items():
        for resource in client.search(kind, patient=patient):
            coded = _with_codes(resource, element, systems, lookup) if _is_theirs(resource) else None
            if coded is None:
                continue
            place = f"{kind}/{resource['id']}"
            entries = [put(f"urn:{place}", place, coded, resource.get("meta", {}).get("versionId")), told(place)]
            bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [each for each in entries if each]}
            try:
                client.write(bundle)
            except VersionConflictError:
                continue
            changed.append(place)
    return changed


def _with_codes(resource: Json, element: str, systems: Iterable[str], lookup: Lookup) -> dict[str, Any] | None:
    concept = resource.get(element, {})
    words = concept.get("text", "").strip()
    if not words or concept.get("coding"):
        return None
    codings = [_coding(found) for system in systems if (found := _certain(lookup(system, words, 5), system))]
    return {**resource, element: {**concept, "coding": codings}} if codings else None


def _certain(candidates: Sequence[Candidate], system: str) -> Candidate | None:
    """The concept that the words name, where they are its name and that of no other."""
    named = [each for each in candidates if each.system == CODE_SYSTEMS[system] and each.stage in _CERTAIN]
    return named[0] if len({each.code for each in named}) == 1 and not named[0].barred else None


def _coding(found: Candidate) -> dict[str, Any]:
    return {
        "system": found.system,
        "version": found.version,
        "code": found.code,
        "display": found.display,
        "userSelected": False,
    }


def _kind(entry: Json) -> str:
    return str(entry["resource"]["resourceType"])


def _is_theirs(resource: Json) -> bool:
    """Whether others wrote it, and it holds."""
    statuses = {str(resource.get("status", "")), *_status(resource.get("verificationStatus", {}))}
    ours = any(each.get("system") == IDENTIFIER_SYSTEM for each in resource.get("identifier", ()))
    return not ours and statuses.isdisjoint(_VOID)


def _status(concept: Json) -> Iterator[str]:
    return (str(each.get("code", "")) for each in concept.get("coding", ()))


def _is_same(ours: Json, theirs: Json) -> bool:
    """Whether both are one problem: a code in common, and no body site of ours that theirs does not name."""
    shared = set(_codes(ours.get("code", {}))) & set(_codes(theirs.get("code", {})))
    sites = [_site(each) for each in theirs.get("bodySite", ())]
    return bool(shared) and all(_site(each) in sites for each in ours.get("bodySite", ()))


def _site(concept: Json) -> tuple[tuple[str, ...], str]:
    return tuple(_codes(concept)), str(concept.get("text", "")).casefold()


def _codes(concept: Json) -> list[str]:
    codings = concept.get("coding", ())
    return [f"{each['system']}|{each['code']}" for each in codings if each.get("system") and each.get("code")]
