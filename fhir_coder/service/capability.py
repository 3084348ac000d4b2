"""What this service really does, and no more: the CapabilityStatement, and of terminology the TerminologyCapabilities.

Source: https://hl7.org/fhir/R4/capabilitystatement.html, https://hl7.org/fhir/R4/terminologycapabilities.html
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fhir_coder.service.terminology import PROPERTIES
from fhir_coder.service.terminology_expand import EXPAND, FILTER
from fhir_coder.terminology.store import ConceptStore

OPERATION_FILE = "OperationDefinition-code-note.json"

_DATE = "2026-11-22"  # when what is stated here last changed


def capability_statement(
    base: str, version: str, operation: str, terminology: Iterable[tuple[str, str]], *, instance_level: bool
) -> dict[str, Any]:
    """Return the CapabilityStatement of the service at `base`.

    `operation` is the canonical URL of the OperationDefinition, `terminology` the resource type and name of each
    terminology operation. `instance_level` tells whether there is a FHIR server to read DocumentReferences from.
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
        "format": ["json"],
        "rest": [
            {
                "mode": "server",
                "documentation": f"$code-note is offered on {levels}, the terminology operations on type level. "
                "No resources are stored here. GET /fhir/metadata?mode=terminology lists the code systems.",
                "resource": [
                    {"type": "DocumentReference", "operation": [code_note]},
                    {"type": "OperationDefinition", "interaction": [{"code": "read"}]},
                    *({"type": kind, "operation": operations} for kind, operations in by_type.items()),
                ],
                "operation": [code_note],
            }
        ],
    }


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
