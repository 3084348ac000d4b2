"""Data types of HL7 v2 as FHIR elements, and resources as transaction entries.

Source: HL7 Version 2 to FHIR guide 1.0.0, data type maps (CX, EI, HD, XPN, XAD, XCN, CWE), and
https://hl7.org/fhir/R4/search.html#escaping.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import quote
from uuid import UUID

from fhir_coder.ingest.hl7v2 import Message, Segment
from fhir_coder.ingest.hl7v2_tables import code_system, mapped
from fhir_coder.ingest.hl7v2_time import to_datetime, zone_of
from fhir_coder.ingest.identified import identified_url, search_token

Json = dict[str, Any]

_IDENTIFIER_TYPE = "http://terminology.hl7.org/CodeSystem/v2-0203"
_OID = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]*))+")


def entry(resource: Json, identifier: Json, write: Literal["create", "update"] = "create") -> Json:
    """Return a transaction entry whose fullUrl is the same for the same identifier.

    "create" leaves a resource alone that has the identifier already; "update" takes its place.
    """
    kind = resource["resourceType"]
    token = search_token(identifier["system"], identifier["value"])
    full_url = identified_url(kind, identifier["system"], identifier["value"])
    if write == "update":
        request = {"method": "PUT", "url": f"{kind}?identifier={token}"}
    else:
        request = {"method": "POST", "url": kind, "ifNoneExist": f"identifier={token}"}
    return {"fullUrl": full_url, "resource": resource, "request": request}


def cx(message: Message, raw: str, authority_at: int = 4, type_at: int = 5) -> Json:
    """Return the Identifier of a CX: 1 id, 4 assigning authority (else the sender), 5 type; an XCN has 9 and 13."""
    parts = message.components(raw, max(type_at, authority_at))
    kind = code(parts[type_at - 1])
    return filled(
        {
            "type": {"coding": [{"system": _IDENTIFIER_TYPE, "code": kind}]} if kind else None,
            "system": _authority_in(message, raw, authority_at) or sender(message),
            "value": parts[0],
        }
    )


def ei(message: Message, segment: Segment | None, number: int) -> Json:
    """Return the Identifier of an EI: 1 entity, 2-4 authority (else the sender); empty when there is none.

    An entity that is an OID or UUID itself needs no authority.
    """
    value = message.at(segment, number)
    if not value:
        return {}
    uri = _uri(value)
    if uri:
        return {"system": "urn:ietf:rfc:3986", "value": uri}
    parts = message.components(message.repetitions(segment, number)[0], 4)
    return filled({"system": _authority(*parts[1:]) or sender(message), "value": value})


def sender(message: Message) -> str | None:
    """Return the sending facility (MSH-4) as authority of what names none, else the sending application (MSH-3)."""
    for number in (4, 3):
        raw = next(iter(message.repetitions(message.first("MSH"), number)), "")
        system = _authority(*message.components(raw, 3))
        if system:
            return system
    return None


def names(message: Message, segment: Segment | None, number: int) -> list[Json]:
    """Return the HumanNames of an XPN field: 1 family, 2 given, 3 second, 4 suffix, 5 prefix, 7 use."""
    found = []
    for raw in message.repetitions(segment, number):
        use = mapped("PID-5.7", message.component(raw, 7))
        name = human_name(message, raw, 1)
        if name:
            found.append({"use": use.code, **name} if use else name)
    return found


def human_name(message: Message, raw: str, first: int) -> Json:
    """Return the HumanName whose family stands in component `first`; empty without a family or a given name."""
    family, given, second, suffix, prefix = message.components(raw, first + 4)[first - 1 :]
    if not (family or given or second):
        return {}
    parts = {
        "family": family,
        "given": present([given, second]),
        "prefix": present([prefix]),
        "suffix": present([suffix]),
    }
    return filled(parts)


def addresses(message: Message, segment: Segment | None, number: int) -> list[Json]:
    """Return the Addresses of an XAD field: 1-2 lines, 3 city, 4 state, 5 postal code, 6 country, 7 use."""
    found = []
    for raw in message.repetitions(segment, number):
        first, second, city, state, postal_code, country, kind = message.components(raw, 7)
        parts = {
            "line": present([first, second]),
            "city": city,
            "state": state,
            "postalCode": postal_code,
            "country": country,
        }
        address = filled(parts)
        if address:
            use = mapped("PID-11.7", kind)
            found.append({"use": use.code, **address} if use else address)
    return found


def concept(message: Message, segment: Segment | None, number: int) -> Json:
    """Return the CodeableConcept of a CE or CWE: a Coding for each of the two codes whose system is known."""
    codings = []
    parts = message.components(next(iter(message.repetitions(segment, number)), ""), 9)
    for value, display, system in (parts[:3], parts[3:6]):
        uri = code_system(system) if system else None
        if uri and value:
            codings.append(filled({"system": uri, "code": code(value), "display": display}))
    words = next(filter(None, (parts[8], parts[1], parts[4], parts[0])), "")
    return filled({"coding": codings, "text": words})


def sender_zone(message: Message) -> timezone | None:
    """Return the zone of MSH-7, which holds for every time of the message without one."""
    return zone_of(message.value("MSH", 7))


def first_time(message: Message, places: Sequence[tuple[Segment | None, int]]) -> datetime | None:
    """Return the first of the fields that holds a time, with its zone."""
    zone = sender_zone(message)
    times = (to_datetime(message.at(segment, number), zone) for segment, number in places)
    return next((time for time in times if time is not None), None)


def instant(value: datetime | None) -> str | None:
    """Return a time as FHIR writes it."""
    return value.isoformat(timespec="milliseconds" if value.microsecond else "seconds") if value else None


def code(value: str) -> str:
    """Return a value as a FHIR code has it: no white space but single spaces."""
    return " ".join(value.split())


def filled(value: Json) -> Json:
    """Return the object without its empty parts: FHIR has no empty strings, lists and objects."""
    return {name: part for name, part in value.items() if part}


def present(values: list[Any]) -> list[Any]:
    """Return the list without its empty parts."""
    return [value for value in values if value]


def _authority_in(message: Message, raw: str, component: int) -> str | None:
    return _authority(*message.subcomponents(raw, component, 3))


@lru_cache(maxsize=4096)
def _authority(namespace: str, universal: str, universal_type: str) -> str | None:
    """The system URI of an assigning authority (HD): its OID or UUID, else its local name."""
    uri = _uri(universal)
    if uri:
        return uri
    if universal and universal_type == "URI":
        return quote(universal, safe=":/?#[]@!$&'()*+,;=%")
    name = namespace or universal
    return f"urn:id:{quote(name, safe='')}" if name else None


def _uri(value: str) -> str | None:
    if _OID.fullmatch(value):
        return f"urn:oid:{value}"
    try:
        return f"urn:uuid:{UUID(value)}" if len(value) == len("00000000-0000-0000-0000-000000000000") else None
    except ValueError:
        return None
