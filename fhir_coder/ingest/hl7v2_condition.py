"""The diagnoses of an HL7 v2 message, stated by people: DG1 segments become Conditions with the codes they came with.

Source: HL7 Version 2 to FHIR guide 1.0.0 (DG1 segment map), https://hl7.org/fhir/R4/condition.html (con-3 to con-5).
"""

from __future__ import annotations

from hashlib import sha256

from fhir_coder.ingest.hl7v2 import Message, Segment
from fhir_coder.ingest.hl7v2_document import Case
from fhir_coder.ingest.hl7v2_practitioner import Person, entries_of, people
from fhir_coder.ingest.hl7v2_tables import code_system, mapped
from fhir_coder.ingest.hl7v2_types import Json, code, concept, ei, entry, filled, first_time, instant, sender

_HL7 = "http://terminology.hl7.org/CodeSystem/"
_IDENTITY_LENGTH = 40  # hex digits, 160 bits
_DISPLAYS = {"confirmed": "Confirmed", "provisional": "Provisional", "entered-in-error": "Entered in Error"}


def states_diagnosis(message: Message) -> bool:
    """Whether `diagnosis_entries` would return any."""
    return any(_what(message, dg1) and _system(message, dg1) for dg1 in message.all("DG1"))


def diagnosis_entries(message: Message, case: Case) -> tuple[Json, ...]:
    """Return the Conditions of all DG1, and the Practitioners who made the diagnoses."""
    found = [_diagnosis(message, segment, case) for segment in message.all("DG1")]
    persons = tuple(person for _, asserters in found for person in asserters)
    known = {each["fullUrl"] for each in case.entries}
    conditions = {made["fullUrl"]: made for made, _ in found if made is not None}
    practitioners = [each for each in entries_of(persons) if each["fullUrl"] not in known]
    return (*practitioners, *conditions.values())


def _diagnosis(message: Message, dg1: Segment, case: Case) -> tuple[Json | None, tuple[Person, ...]]:
    what = _what(message, dg1)
    if not what or not _system(message, dg1):
        return None, ()
    identifier = _identifier(message, dg1, case, what)
    asserters = people(message, dg1, 16)[:1]
    withdrawn = mapped("DG1-21", message.at(dg1, 21))
    kind = mapped("DG1-6", message.at(dg1, 6))
    verification = withdrawn.code if withdrawn else kind.code if kind else ""
    times = [(dg1, 19), (message.first("EVN"), 2), (message.first("MSH"), 7)]
    resource = {
        "resourceType": "Condition",
        "identifier": [identifier],
        "clinicalStatus": None if withdrawn else _status("condition-clinical", "active", "Active"),
        "verificationStatus": _status("condition-ver-status", verification, _DISPLAYS[verification])
        if verification
        else None,
        "category": [_category(in_stay=case.stay is not None)],
        "code": what,
        "subject": {"reference": case.patient["fullUrl"]},
        "encounter": {"reference": case.stay.reference} if case.stay else None,
        "onsetDateTime": instant(first_time(message, [(dg1, 5)])),
        "recordedDate": instant(first_time(message, times)),
        "asserter": asserters[0].reference if asserters else None,
    }
    return entry(filled(resource), identifier, "update"), asserters


def _what(message: Message, dg1: Segment) -> Json:
    """DG1-3, whose system may stand in DG1-2 (before v2.4) and whose words in DG1-4."""
    found = concept(message, dg1, 3)
    system = code_system(message.at(dg1, 2))
    value = message.at(dg1, 3)
    if system and value and "coding" not in found and not message.at(dg1, 3, 3):
        found = {"coding": [filled({"system": system, "code": code(value), "display": message.at(dg1, 3, 2)})], **found}
    words = message.at(dg1, 4)
    return {**found, "text": words} if words else found


def _system(message: Message, dg1: Segment) -> str | None:
    """The authority of what a diagnosis is known by: that of DG1-20, else the sender."""
    stated = ei(message, dg1, 20)
    return stated.get("system") if stated else sender(message)


def _identifier(message: Message, dg1: Segment, case: Case, what: Json) -> Json:
    """DG1-20; without it the diagnosis is known by the stay (else the patient), its kind and what it is.

    The same diagnosis that comes again with the next message of the stay then is the same Condition.
    """
    stated = ei(message, dg1, 20)
    if stated:
        return stated
    owner = case.stay.entry if case.stay else case.patient
    codings = "+".join(each["code"] for each in what.get("coding", ())) or what.get("text", "")
    number = owner["resource"]["identifier"][0]["value"]
    # A hash: the identifier stands in URLs, which servers log.
    known_by = sha256("\x1f".join((number, message.at(dg1, 6), codings)).encode()).hexdigest()[:_IDENTITY_LENGTH]
    return filled({"system": sender(message), "value": f"DG1-{known_by}"})


def _category(*, in_stay: bool) -> Json:
    if in_stay:
        return _status("condition-category", "encounter-diagnosis", "Encounter Diagnosis")
    return _status("condition-category", "problem-list-item", "Problem List Item")


def _status(system: str, value: str, display: str) -> Json:
    return {"coding": [{"system": _HL7 + system, "code": value, "display": display}]}
