"""What we publish under profiles/ fits FHIR, and fits what we write."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, get_args

import fhirkit
import pytest
from fhir.resources.R4B import get_fhir_model_class

from fhir_coder.fhir.bundle import to_bundle
from fhir_coder.fhir.checks import check
from fhir_coder.fhir.elements import OURS
from fhir_coder.model import Certainty, Experiencer, Stage, Temporality
from fhir_coder.tables import folder, read_profile

EXTENSIONS = ("StructureDefinition-coding-candidates.json", "StructureDefinition-assertion.json")
PUBLISHED = sorted(each.name for each in folder("profiles").iterdir() if each.name.endswith(".json"))
EXAMPLES = sorted(
    each.name for each in folder("profiles").joinpath("examples").iterdir() if each.name.endswith(".json")
)


@pytest.mark.parametrize("name", PUBLISHED)
def test_definition_is_valid(name: str) -> None:
    definition = read_profile(name)
    assert name == f"{definition['resourceType']}-{definition['id']}.json"
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


def test_what_is_claimed_is_published_and_has_an_example() -> None:
    claimed = {
        profile.removeprefix(OURS)
        for name in EXAMPLES
        for profile in read_profile(f"examples/{name}")["meta"]["profile"]
        if profile.startswith(OURS)
    }
    published = {read_profile(name)["id"] for name in PUBLISHED if name.startswith("StructureDefinition-coded")}
    assert claimed == published


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_valid(name: str) -> None:
    example = read_profile(f"examples/{name}")
    assert [str(issue) for issue in fhirkit.validate(example) if issue.severity == "error"] == []
    get_fhir_model_class(example["resourceType"]).model_validate(example)
    check({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": example}]})


def test_the_examples_are_what_the_note_becomes(dictionary_coder: Any) -> None:
    made = _script().examples(dictionary_coder)
    assert sorted(made) == EXAMPLES
    for name, resource in made.items():
        assert resource == read_profile(f"examples/{name}"), "meant? then run scripts/profile_examples.py"


@pytest.mark.parametrize("name", [each for each in PUBLISHED if each.startswith("ValueSet")])
def test_codes_of_extensions_are_those_of_the_model(name: str) -> None:
    """The value sets hold the codes that are written, no others."""
    codes = {each["code"] for each in read_profile(name.replace("ValueSet", "CodeSystem"))["concept"]}
    known: dict[str, Any] = {
        "assertion-certainty": Certainty,
        "assertion-temporality": Temporality,
        "assertion-experiencer": Experiencer,
        "candidate-stage": Stage,
    }
    assert codes == set(get_args(known[read_profile(name)["id"]]))


def _script() -> Any:
    path = Path(__file__).resolve().parents[3] / "scripts" / "profile_examples.py"
    spec = spec_from_file_location("profile_examples", path)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
