"""The OpenAPI description: of every route, and of the parameters that the OperationDefinition names."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.routing import APIRoute
from jsonschema import Draft202012Validator

from fhir_coder.service.capability import OPERATION_FILE
from fhir_coder.tables import read_profile


@pytest.fixture
def description(serve: Any) -> dict[str, Any]:
    """The description as it is served."""
    found: dict[str, Any] = serve().client.get("/openapi.json").json()
    return found


def test_every_route_is_described(serve: Any, description: dict[str, Any]) -> None:
    routes = {
        (route.path_format, method.lower())
        for route in serve().client.app.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    assert {(path, method) for path, methods in description["paths"].items() for method in methods} == routes


def test_code_note_takes_what_its_definition_names(description: dict[str, Any]) -> None:
    schemas = description["components"]["schemas"]
    listed = schemas["CodeNoteParameters"]["properties"]["parameter"]["items"]["oneOf"]
    taken = [each["name"] for each in read_profile(OPERATION_FILE)["parameter"] if each["use"] == "in"]
    assert [each["properties"]["name"]["const"] for each in listed] == taken


def test_schemas_are_schemas_and_examples_fit_them(serve: Any, description: dict[str, Any]) -> None:
    client = serve().client
    for path, methods in description["paths"].items():
        for operation in methods.values():
            for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
                schema = {**content["schema"], "components": description["components"]}
                Draft202012Validator.check_schema(schema)
                if "example" in content:
                    Draft202012Validator(schema).validate(content["example"])
                if path == "/fhir/$code-note":
                    headers = {"Content-Type": media_type}
                    assert client.post(path, json=content["example"], headers=headers).status_code == 200


def test_the_capability_statement_says_who_may_call(serve: Any) -> None:
    statement = serve().client.get("/fhir/metadata").json()
    assert statement["rest"][0]["security"] == {"description": "Nobody is asked who they are"}
    assert "application/fhir+json" in statement["format"]
