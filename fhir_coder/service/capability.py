"""What this service really does, and no more: the CapabilityStatement, and of terminology the TerminologyCapabilities.

Source: https://hl7.org/fhir/R4/capabilitystatement.html, https://hl7.org/fhir/R4/terminologycapabilities.html
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fhir_coder.service.body import JSON_TYPES
from fhir_coder.service.terminology import PROPERTIES
from fhir_coder.service.terminology_expand import EXPAND, FILTER
from fhir_coder.tables import folder, read_profile
from fhir_coder.terminology.store import ConceptStore

OPERATION_FILE = "OperationDefinition-code-note.json"

_DATE = "2026-11-22"  # when what is stated here last changed


def capability_statement(
    base: str,
    version: str,
    operation: str,
    terminology: Iterable[tuple[str, str]],
    *,
    instance_level: bool,
    security: str,
) -> dict[str, Any]:
    """Return the CapabilityStatement of the service at `base`.

    `operation` is the canonical URL of the OperationDefinition, `terminology` the resource type and name of each
    terminology operation. `instance_level` tells whether there is a FHIR server to read DocumentReferences from, and
    `security` who may call.
    """
    by_type: dict[str, list[dict[str, str]]] = {}
    for kind, name in terminology:
        definition = f"http://hl7.org/fhir/OperationDefinition/{kind}-{name}"
        by_type.setdefault(kind, []).append({"name": name, "definition": definition})
    code_note = {"name": "code-note", "definition": operation}
    levels = "system, type and instance level" if instance_level else "system and type level"
    return {
        "resourceType": "CapabilityStatement",
        **_head(base, version),
        "fhirVersion": "4.0.1",
        "format": ["json", *JSON_TYPES],
        "rest": [
            {
                "mode": "server",
                "documentation": f"$code-note is offered on {levels}, at once or asynchronously (Prefer: "
                "respond-async); the terminology operations on type level. No resources are stored here. "
                "GET /fhir/metadata?mode=terminology lists the code systems.",
                "security": {"description": security},
                "resource": [
                    {"type": "DocumentReference", "operation": [code_note]},
                    {"type": "OperationDefinition", "interaction": [{"code": "read"}]},
                    *({"type": kind, "operation": operations} for kind, operations in by_type.items()),
                    *_written(),
                ],
                "operation": [code_note],
            }
        ],
    }


def _written() -> list[dict[str, Any]]:
    """Return the resource types that are written, with their profiles: no interaction is offered on them here."""
    by_type: dict[str, list[str]] = {}
    for name in sorted(each.name for each in folder("profiles").iterdir()):
        if name.startswith("StructureDefinition-coded-"):
            profile = read_profile(name)
            by_type.setdefault(profile["type"], []).append(profile["url"])
    by_type.pop("DocumentReference", None)  # it has an entry of its own
    documentation = "Returned by $code-note, and written to the configured folder or FHIR server; not stored here."
    return [{"type": kind, "supportedProfile": urls, "documentation": documentation} for kind, urls in by_type.items()]


def terminology_capabilities(base: str, version: str, store: ConceptStore) -> dict[str, Any]:
    """Return the TerminologyCapabilities of the service at `base`: the loaded code systems, each in one version."""
    loaded = [release for system in store.systems if (release := store.base(system)) is not None]
    return {
        "resourceType": "TerminologyCapabilities",
        **_head(base, version),
        "codeSystem": [
            {
                "uri": release.head.system,
                "version": [
                    {
                        "code": release.head.version,
                        "isDefault": True,
                        "compositional": False,
                        "property": list(PROPERTIES),
                    }
                ],
                "subsumption": False,
            }
            for release in loaded
        ],
        "expansion": {
            "hierarchical": False,
            "paging": True,
            "incomplete": False,
            "parameter": [{"name": name} for name in EXPAND],
            "textFilter": FILTER,
        },
        "validateCode": {"translations": False},
        "translation": {"needsMap": False},
    }


def _head(base: str, version: str) -> dict[str, Any]:
    return {
        "status": "active",
        "date": _DATE,
        "kind": "instance",
        "software": {"name": "fhir-coder", "version": version},
        "implementation": {"description": "Codes free-text clinical notes", "url": base},
    }
