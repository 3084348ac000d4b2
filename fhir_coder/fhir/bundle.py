"""A coded note as one FHIR R4 transaction: https://hl7.org/fhir/R4/http.html#transaction.

READ FIRST in this folder. Entities become facts (facts.py), each fact becomes one resource, one Provenance names
them all. Every entry is created once: a note that is sent again meets its earlier resources.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from fhir_coder.fhir.allergy_intolerance import allergy_intolerance
from fhir_coder.fhir.condition import condition
from fhir_coder.fhir.device import device, device_use_statement, is_used
from fhir_coder.fhir.document_reference import document_reference
from fhir_coder.fhir.elements import Json, Source, date_time
from fhir_coder.fhir.facts import Fact, Kind, facts
from fhir_coder.fhir.family_member_history import family_member_history
from fhir_coder.fhir.identity import IDENTIFIER_SYSTEM, digest, document_identity, full_url
from fhir_coder.fhir.medication_statement import medication_statement, with_reasons
from fhir_coder.fhir.observation import observation
from fhir_coder.fhir.provenance import provenance
from fhir_coder.fhir.reasons import reasons, treated
from fhir_coder.fhir.smoking_status import is_status_alone, smoking_status, states_smoking
from fhir_coder.model import CodedNote, Note

_RESOURCES: Mapping[Kind, Callable[[Fact, Source], Json]] = {
    "Condition": condition,
    "MedicationStatement": medication_statement,
    "Observation": observation,
    "Device": device,
    "FamilyMemberHistory": family_member_history,
    "AllergyIntolerance": allergy_intolerance,
}


def to_bundle(coded: CodedNote, *, ai_security_label: bool = True, recorded: datetime | None = None) -> Json:
    """Return the transaction Bundle of a coded note: context, document, facts, Provenance, in this order.

    `recorded` is the time of the coding (now, by default) and needs a zone, else `ValueError` is raised. A note
    without a subject gives resources without one; they cannot be delivered to a server.
    """
    note = coded.note
    document = document_identity(note)
    own_document = digest(document, "DocumentReference")
    source = Source(
        identity=document,
        document=note.document or full_url(own_document),
        subject=note.subject,
        encounter=note.encounter,
        date=date_time(note.date) if note.date else None,
        recorded=_instant(recorded or datetime.now(UTC)),
        preliminary=note.doc_status == "preliminary",
        ai_security_label=ai_security_label,
    )
    entries: list[Json] = [dict(entry) for entry in note.context]
    if note.document is None and not note.withdrawn:
        entries.append(_entry(document_reference(note, source, own_document), own_document))
    if not note.withdrawn:
        entries += _derived(coded, note, source)
    bundle: Json = {"resourceType": "Bundle", "type": "transaction"}
    return bundle | {"entry": entries} if entries else bundle


def _derived(coded: CodedNote, note: Note, source: Source) -> list[Json]:
    # A medication refers to Conditions, which stand before it: a Bundle may be sent in parts.
    known = sorted(facts(coded.entities, note.text), key=lambda fact: fact.kind == "MedicationStatement")
    found = [(fact.identity(source.identity), fact) for fact in known]
    conditions = {
        span: full_url(identity)
        for identity, fact in found
        if fact.kind == "Condition" and not is_status_alone(fact)
        for span in fact.spans
    }
    treats = treated(coded.relations)
    entries: list[Json] = []
    for identity, fact in found:
        if states_smoking(fact):
            status = digest(source.identity, "smoking status", identity)
            entries.append(_entry(smoking_status(fact, source, status), status))
        if is_status_alone(fact):
            continue
        resource = _RESOURCES[fact.kind](fact, source)
        if fact.kind == "MedicationStatement":
            resource = with_reasons(resource, *reasons(fact, treats, conditions))
        entries.append(_entry(resource, identity))
        if fact.kind == "Device" and is_used(fact):
            use = digest(source.identity, "DeviceUseStatement", identity)
            entries.append(_entry(device_use_statement(fact, source, full_url(identity), use), use))
    if entries:
        # Another set of resources is another act of making, and has a Provenance of its own.
        identity = digest(source.identity, "Provenance", *sorted(each for each, _ in found))
        targets = [entry["fullUrl"] for entry in entries]
        entries.append(_entry(provenance(note, source, targets, identity), identity, parameter="_tag"))
    return entries


def _entry(resource: Json, identity: str, parameter: str = "identifier") -> Json:
    return {
        "fullUrl": full_url(identity),
        "resource": resource,
        "request": {
            "method": "POST",
            "url": resource["resourceType"],
            "ifNoneExist": f"{parameter}={IDENTIFIER_SYSTEM}|{identity}",
        },
    }


def _instant(moment: datetime) -> str:
    if moment.tzinfo is None:
        raise ValueError("recorded needs a time zone")
    return date_time(moment)
