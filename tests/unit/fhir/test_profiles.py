"""What we publish under profiles/ fits FHIR, and fits what we write."""

from __future__ import annotations

from typing import Any

import fhirkit
import pytest
from fhir.resources.R4B import get_fhir_model_class

from fhir_coder.fhir.bundle import to_bundle
from fhir_coder.tables import folder, read_profile

EXTENSIONS = ("StructureDefinition-coding-candidates.json", "StructureDefinition-assertion.json")
PUBLISHED = (*EXTENSIONS, "OperationDefinition-code-note.json")


@pytest.mark.parametrize("name", PUBLISHED)
def test_definition_is_valid(name: str) -> None:
    definition = read_profile(name)
    assert folder("profiles").joinpath(name).is_file()
    assert [str(issue) for issue in fhirkit.validate(definition)] == []
    get_fhir_model_class(definition["resourceType"]).model_validate(definition)
    assert definition["url"].endswith("/" + definition["id"])


def _parts(definition: dict[str, Any]) -> dict[str, str]:
    """Return the parts of a complex extension and the element that holds each value."""
    elements = definition["differential"]["element"]
    return {
        each["sliceName"]: "value"
        + next(
            type_["type"][0]["code"][0].upper() + type_["type"][0]["code"][1:]
            for type_ in elements
            if type_["id"] == f"{each['id']}.value[x]"
        )
        for each in elements
        if "sliceName" in each
    }


@pytest.mark.parametrize("name", EXTENSIONS)
def test_extensions_are_written_as_defined(name: str, make_entity: Any, make_note: Any) -> None:
    definition = read_profile(name)
    condition = to_bundle(make_note(make_entity("HTN", code="1")))["entry"][0]["resource"]
    written = [
        each for each in condition["extension"] + condition["code"]["extension"] if each["url"] == definition["url"]
    ]
    assert written
    for extension in written:
        kinds = {part["url"]: next(key for key in part if key != "url") for part in extension["extension"]}
        assert kinds == _parts(definition)
