"""A device that the patient has, and its use: https://hl7.org/fhir/R4/device.html, deviceusestatement.html, IPS 1.1.

No US Core profile is claimed: that of implantable devices holds for implants only, and a word in a note does not
tell an implant from a walking frame.
"""

from __future__ import annotations

from collections.abc import Mapping

from fhir_coder.fhir.elements import (
    IPS,
    OURS,
    Json,
    Source,
    concept,
    identifier,
    meta,
    provenance_extensions,
    site_of,
    subject,
)
from fhir_coder.fhir.facts import Fact, Status
from fhir_coder.fhir.times import during, says

DEVICE = (IPS + "Device-uv-ips", OURS + "coded-device")
USE = (IPS + "DeviceUseStatement-uv-ips", OURS + "coded-device-use-statement")

_STATUS: Mapping[Status, str] = {"present": "active", "possible": "unknown", "historical": "inactive"}
_USE_STATUS: Mapping[Status, str] = {"present": "active", "historical": "completed"}


def device(fact: Fact, source: Source) -> Json:
    """Return the Device."""
    return {
        "resourceType": "Device",
        **meta(source, *DEVICE),
        "extension": provenance_extensions(source, fact.entity.assertion, fact.spans),
        "identifier": identifier(fact.identity(source.identity)),
        "status": "inactive" if _has_ended(fact) else _STATUS[fact.status],
        "type": concept(fact.entity),
        "patient": subject(source),
    }


def is_used(fact: Fact) -> bool:
    """Tell whether the note states that the device is or was used: of a possible one nothing can be said."""
    return fact.status in _USE_STATUS


def device_use_statement(fact: Fact, source: Source, device_reference: str, identity: str) -> Json:
    """Return the DeviceUseStatement: since when, until when, and where on the body."""
    resource: Json = {
        "resourceType": "DeviceUseStatement",
        **meta(source, *USE),
        "extension": provenance_extensions(source, fact.entity.assertion, fact.spans),
        "identifier": identifier(identity),
        "status": "completed" if _has_ended(fact) else _USE_STATUS[fact.status],
        "subject": subject(source),
        "derivedFrom": [{"reference": source.document}],
        **during("timing", fact.mentions),
        "device": {"reference": device_reference},
    }
    if source.date:
        resource["recordedOn"] = source.date
    if site := site_of(fact.mentions):
        resource["bodySite"] = site
    return resource


def _has_ended(fact: Fact) -> bool:
    """Tell whether the last that the note says of the device is that it was taken out."""
    return says(max(fact.mentions + fact.absorbed, key=lambda each: each.start), "abatement")
