"""A device that the patient has: https://hl7.org/fhir/R4/device.html.

No US Core profile is claimed: that of implantable devices holds for implants only, and a word in a note does not
tell an implant from a walking frame.
"""

from __future__ import annotations

from collections.abc import Mapping

from fhir_coder.fhir.elements import Json, Source, body_site, concept, identifier, meta, provenance_extensions, subject
from fhir_coder.fhir.facts import Fact, Status

_STATUS: Mapping[Status, str] = {"present": "active", "possible": "unknown", "historical": "inactive"}


def device(fact: Fact, source: Source) -> Json:
    """Return the Device."""
    resource: Json = {
        "resourceType": "Device",
        **meta(source),
        "extension": provenance_extensions(source, fact.entity.assertion, fact.spans),
        "identifier": identifier(fact.identity(source.identity)),
        "status": _STATUS[fact.status],
        "type": concept(fact.entity),
        "patient": subject(source),
    }
    if site := next((site for each in fact.mentions if (site := body_site(each.attributes))), ""):
        resource["note"] = [{"text": f"body site: {site}"}]  # R4 has no element for it
    return resource
