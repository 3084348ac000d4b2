"""Patient, Encounter and DocumentReference of an HL7 v2 message, as transaction entries.

Source: HL7 Version 2 to FHIR guide 1.0.0 (PID, PV1, TXA segment maps). Each entry is created only when no
resource has its identifier yet (ifNoneExist), and its fullUrl derives from that identifier, so that sending a
message twice changes nothing. Demographics that cannot be read are left out: the identifier alone decides who
the patient is, and a note is not refused for a bad postal code.
"""

from __future__ import annotations

import base64
import re
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, UUID, uuid5

from fhir_coder.errors import InputError, UnsupportedError
from fhir_coder.ingest.hl7v2 import Message
from fhir_coder.ingest.hl7v2_tables import mapped
from fhir_coder.ingest.hl7v2_time import to_date, to_datetime, zone_of

_IDENTIFIER_TYPE = "http://terminology.hl7.org/CodeSystem/v2-0203"
_PATIENT_CLASS = "http://terminology.hl7.org/CodeSystem/v2-0004"
_DOCUMENT_TYPE = "http://terminology.hl7.org/CodeSystem/v2-0270"
_NULL_FLAVOR = "http://terminology.hl7.org/CodeSystem/v3-NullFlavor"
_CLINICAL_NOTE = {
    "system": "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category",
    "code": "clinical-note",
    "display": "Clinical Note",
}
_UNKNOWN = {"system": _NULL_FLAVOR, "code": "UNK", "display": "unknown"}
_OID = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]*))+")

Json = dict[str, Any]


def patient_entry(message: Message) -> Json:
    """Return the Patient of PID-3/5/7/8/11. Raises `InputError` (place PID-3) when PID-3 identifies nobody."""
    repetitions = message.repetitions(message.first("PID"), 3)
    identifiers = [_cx(message, raw) for raw in repetitions if message.component(raw, 1)]
    if not identifiers:
        raise InputError("the message names no patient; give an identifier in PID-3", place="PID-3", code="required")
    if "system" not in identifiers[0]:
        # An id alone is not unique across hospitals; a search for it could find another person.
        raise InputError(
            "the patient identifier has no assigning authority; give PID-3.4 or MSH-4", place="PID-3.4", code="required"
        )
    gender = mapped("PID-8", message.value("PID", 8).upper())
    resource = {
        "resourceType": "Patient",
        "identifier": identifiers,
        "name": _names(message),
        "gender": gender.code if gender else None,
        "birthDate": to_date(message.value("PID", 7)),
        "address": _addresses(message),
    }
    return _entry(_filled(resource), identifiers[0])


def encounter_entry(message: Message, patient: str) -> Json | None:
    """Return the Encounter of PV1-2/19/44/45, or None when PV1-19 gives it no identity."""
    repetitions = message.repetitions(message.first("PV1"), 19)
    identifier = _cx(message, repetitions[0]) if repetitions else {}
    if "value" not in identifier or "system" not in identifier:
        return None
    start, end = (to_datetime(message.value("PV1", field), sender_zone(message)) for field in (44, 45))
    resource = {
        "resourceType": "Encounter",
        "identifier": [identifier],
        # Whether the stay goes on is known only once it has ended.
        "status": "finished" if end else "unknown",
        "class": _patient_class(message),
        "subject": {"reference": patient},
        "period": _filled({"start": _instant(start), "end": _instant(end)}),
    }
    return _entry(_filled(resource), identifier)


def document_entry(message: Message, text: str, *, patient: str, encounter: str | None, relation: str) -> Json:
    """Return the DocumentReference of the TXA segment with `text` as its attachment.

    `relation` is the code of relatesTo to the document in TXA-13, or "".
    Raises `UnsupportedError` (place TXA-19) when the document is cancelled.
    """
    availability = mapped("TXA-19", message.value("TXA", 19))
    status = availability.code if availability else "current"
    if status == "entered-in-error":
        raise UnsupportedError("the document is cancelled and is not coded; send its correction", place="TXA-19")
    identifier = _document_identifier(message)
    completion = mapped("TXA-17", message.value("TXA", 17))
    confidentiality = mapped("TXA-18", message.value("TXA", 18))
    written = to_datetime(message.value("TXA", 6), sender_zone(message))
    parent = _ei(message, message.value("TXA", 13), _components(message, 13))
    resource = {
        "resourceType": "DocumentReference",
        "masterIdentifier": identifier,
        "identifier": _present([_filled({"value": message.value("TXA", 16)})]),
        "status": status,
        "docStatus": completion.code if completion else None,
        "type": _document_type(message),
        "category": [{"coding": [_CLINICAL_NOTE]}],
        "subject": {"reference": patient},
        "date": _instant(written),
        "author": _present([_person(message, 9)]),
        "authenticator": _person(message, 10),
        "relatesTo": [{"code": relation, "target": {"identifier": parent}}] if relation and parent else None,
        "description": message.value("TXA", 25),
        "securityLabel": [{"coding": [confidentiality.coding()]}] if confidentiality else None,
        "content": [{"attachment": _attachment(text)}],
        "context": {"encounter": [{"reference": encounter}]} if encounter else None,
    }
    return _entry(_filled(resource), identifier)


def sender_zone(message: Message) -> timezone | None:
    """Return the zone of MSH-7, which holds for every time of the message without one."""
    return zone_of(message.value("MSH", 7))


def _entry(resource: Json, identifier: Json) -> Json:
    """A conditional create, and a fullUrl that is the same for the same identifier."""
    kind = resource["resourceType"]
    token = f"{_search_value(identifier['system'])}|{_search_value(identifier['value'])}"
    return {
        "fullUrl": f"urn:uuid:{uuid5(NAMESPACE_URL, f'{kind}|{token}')}",
        "resource": resource,
        "request": {"method": "POST", "url": kind, "ifNoneExist": f"identifier={quote(token, safe=':/')}"},
    }


def _search_value(value: str) -> str:
    """A value inside a token search parameter (https://hl7.org/fhir/R4/search.html#escaping)."""
    return re.sub(r"([\\$,|])", r"\\\1", value)


def _cx(message: Message, raw: str) -> Json:
    """An Identifier of a CX: 1 id, 4 assigning authority, 5 type."""
    kind = _code(message.component(raw, 5))
    return _filled(
        {
            "type": {"coding": [{"system": _IDENTIFIER_TYPE, "code": kind}]} if kind else None,
            "system": _authority(*(message.component(raw, 4, part) for part in (1, 2, 3))) or _facility(message),
            "value": message.component(raw, 1),
        }
    )


def _ei(message: Message, value: str, authority: tuple[str, str, str]) -> Json:
    """An Identifier of an EI: 1 entity, 2-4 authority. An entity that is an OID or UUID needs no authority."""
    if not value:
        return {}
    uri = _uri(value)
    if uri:
        return {"system": "urn:ietf:rfc:3986", "value": uri}
    return _filled({"system": _authority(*authority) or _facility(message), "value": value})


def _document_identifier(message: Message) -> Json:
    """TXA-12; without it MSH-10, which a sender repeats when it sends the same message again."""
    identifier = _ei(message, message.value("TXA", 12), _components(message, 12))
    if "value" not in identifier:
        identifier = {"system": _facility(message), "value": message.value("MSH", 10)}
    if not identifier.get("system"):
        raise InputError(
            "the document's number has no assigning authority; give TXA-12.2 or MSH-4",
            place="TXA-12.2",
            code="required",
        )
    return identifier


def _components(message: Message, field: int) -> tuple[str, str, str]:
    return (message.value("TXA", field, 2), message.value("TXA", field, 3), message.value("TXA", field, 4))


def _authority(namespace: str, universal: str, universal_type: str) -> str | None:
    """The system URI of an assigning authority (HD): its OID or UUID, else its local name."""
    uri = _uri(universal)
    if uri:
        return uri
    if universal and universal_type == "URI":
        return quote(universal, safe=":/?#[]@!$&'()*+,;=%")
    name = namespace or universal
    return f"urn:id:{quote(name, safe='')}" if name else None


def _facility(message: Message) -> str | None:
    """The sending facility (MSH-4) as authority of what names none of its own, else the sending application."""
    for field in (4, 3):
        system = _authority(*(message.value("MSH", field, part) for part in (1, 2, 3)))
        if system:
            return system
    return None


def _uri(value: str) -> str | None:
    if _OID.fullmatch(value):
        return f"urn:oid:{value}"
    try:
        return f"urn:uuid:{UUID(value)}" if len(value) == len("00000000-0000-0000-0000-000000000000") else None
    except ValueError:
        return None


def _code(value: str) -> str:
    """A value as a FHIR code has it: no white space but single spaces."""
    return " ".join(value.split())


def _names(message: Message) -> list[Json]:
    names = []
    for raw in message.repetitions(message.first("PID"), 5):
        use = mapped("PID-5.7", message.component(raw, 7))
        parts = {
            "use": use.code if use else None,
            "family": message.component(raw, 1),
            "given": _present([message.component(raw, 2), message.component(raw, 3)]),
            "prefix": _present([message.component(raw, 5)]),
            "suffix": _present([message.component(raw, 4)]),
        }
        names.append(_filled(parts))
    return [name for name in names if "family" in name or "given" in name]


def _addresses(message: Message) -> list[Json]:
    addresses = []
    for raw in message.repetitions(message.first("PID"), 11):
        use = mapped("PID-11.7", message.component(raw, 7))
        parts = {
            "line": _present([message.component(raw, 1), message.component(raw, 2)]),
            "city": message.component(raw, 3),
            "state": message.component(raw, 4),
            "postalCode": message.component(raw, 5),
            "country": message.component(raw, 6),
        }
        filled = _filled(parts)
        if filled:
            addresses.append({"use": use.code, **filled} if use else filled)
    return addresses


def _patient_class(message: Message) -> Json:
    """PV1-2 as v3 ActCode where the guide maps it, else the v2 code itself (the binding is extensible)."""
    value = _code(message.value("PV1", 2))
    target = mapped("PV1-2", value)
    if target:
        return target.coding()
    return {"system": _PATIENT_CLASS, "code": value} if value else _UNKNOWN


def _document_type(message: Message) -> Json:
    """TXA-2: LOINC when it is LOINC or the table maps it, else the code as it came."""
    code, display, system = (_code(message.value("TXA", 2, component)) for component in (1, 2, 3))
    if system == "LN" and code:
        return {"coding": [_filled({"system": "http://loinc.org", "code": code, "display": display})]}
    target = mapped("TXA-2", code)
    if target:
        return {"coding": [target.coding()]}
    if code and system in ("", "HL70270"):
        return {"coding": [_filled({"system": _DOCUMENT_TYPE, "code": code, "display": display})]}
    return _filled({"coding": [_UNKNOWN], "text": display or code})


def _person(message: Message, field: int) -> Json:
    """A logical reference of an XCN: 1 id, 2 family, 3 given, 9 assigning authority."""
    repetitions = message.repetitions(message.first("TXA"), field)
    if not repetitions:
        return {}
    raw = repetitions[0]
    identifier = message.component(raw, 1)
    system = _authority(*(message.component(raw, 9, part) for part in (1, 2, 3))) or _facility(message)
    name = " ".join(_present([message.component(raw, 3), message.component(raw, 2)]))
    return _filled(
        {"identifier": _filled({"system": system, "value": identifier}) if identifier else None, "display": name}
    )


def _attachment(text: str) -> Json:
    raw = text.encode("utf-8")
    return {
        "contentType": "text/plain; charset=utf-8",
        "data": base64.b64encode(raw).decode("ascii"),
        "size": len(raw),
    }


def _instant(value: datetime | None) -> str | None:
    return value.isoformat(timespec="milliseconds" if value.microsecond else "seconds") if value else None


def _filled(value: Json) -> Json:
    """The object without its empty parts: FHIR has no empty strings, lists and objects."""
    return {name: part for name, part in value.items() if part}


def _present(values: list[Any]) -> list[Any]:
    """The list without its empty parts."""
    return [value for value in values if value]
