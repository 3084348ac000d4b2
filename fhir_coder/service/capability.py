"""The CapabilityStatement: what this service really does, and no more.

Source: https://hl7.org/fhir/R4/capabilitystatement.html
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

OPERATION_FILE = "OperationDefinition-code-note.json"


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
        "status": "active",
        "date": "2026-11-22",
        "kind": "instance",
        "software": {"name": "fhir-coder", "version": version},
        "implementation": {"description": "Codes free-text clinical notes", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "rest": [
            {
                "mode": "server",
                "documentation": f"$code-note is offered on {levels}. No resources are stored here.",
                "resource": [
                    {"type": "DocumentReference", "operation": [code_note]},
                    {"type": "OperationDefinition", "interaction": [{"code": "read"}]},
                    *({"type": kind, "operation": operations} for kind, operations in by_type.items()),
                ],
                "operation": [code_note],
            }
        ],
    }
