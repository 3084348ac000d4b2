"""Who made the resources, and out of what: https://hl7.org/fhir/R4/provenance.html."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from fhir_coder.fhir.elements import AI_ASSERTED, OURS, Json, Source, fixed, meta, unknown
from fhir_coder.fhir.identity import IDENTIFIER_SYSTEM
from fhir_coder.model import Note

# It meets us-core-provenance too, which is not claimed: Medplum's validator (4.5) stumbles over that profile's slices
# and refuses whatever claims it. The tests prove it against the profile without its (optional) slices.
PROFILE = OURS + "coded-provenance"

_AGENT_TYPE = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
SOFTWARE = {"system": "http://fhir-coder.org/fhir/identifier/software", "value": "fhir-coder"}


def provenance(note: Note, source: Source, targets: Sequence[str], identity: str) -> Json:
    """Return the Provenance of the resources `targets` (references).

    R4 gives Provenance no identifier; the identity stands in a tag, by which every server can search.
    """
    reason: Json = {"text": "Derived from the text of the source document by software"}
    if source.ai_security_label:
        reason["coding"] = [dict(AI_ASSERTED)]
    labels = meta(source, PROFILE).get("meta", {})
    return {
        "resourceType": "Provenance",
        "meta": labels | {"tag": [{"system": IDENTIFIER_SYSTEM, "code": identity}]},
        "target": [{"reference": target} for target in targets],
        "recorded": source.recorded,
        "reason": [reason],
        "agent": [
            {
                "type": fixed(_AGENT_TYPE, "assembler", "Assembler"),
                "who": {"type": "Device", "identifier": dict(SOFTWARE), "display": software_name()},
                "onBehalfOf": _responsible(note),
            }
        ],
        "entity": [{"role": "source", "what": {"reference": source.document}}],
    }


def _responsible(note: Note) -> Json:
    """Return the organisation for which the software worked: the note's custodian, where one is known.

    provenance-1 asks for it, since a device answers for nothing.
    """
    for entry in note.context:
        resource = entry.get("resource", {})
        if entry.get("fullUrl") == note.document and resource.get("custodian"):
            custodian: Json = resource["custodian"]
            return dict(custodian)
    return {"extension": unknown()}


@cache
def software_name() -> str:
    """Return the name of this software with its version, where it is installed."""
    try:
        return f"fhir-coder {version('fhir-coder')}"
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "fhir-coder"
