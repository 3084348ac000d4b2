"""The terminology operations of the running service, on the releases that come with the program."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from fhir.resources.R4B import get_fhir_model_class

from fhir_coder.model import HCPCS, HPO, ICD10CM, LOINC, RXNORM, SNOMED
from fhir_coder.prepare import prepare, terminology_root
from fhir_coder.settings import Settings

READY = re.compile(r"ready: (http://\S+) ")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service with an inbox of its own, and with the releases that come with the program only."""
    settings = Settings.load(encoder="none")
    prepare(settings)
    data = tmp_path_factory.mktemp("data")
    (data / "terminology").mkdir()
    (data / "terminology" / "embedded").symlink_to(terminology_root(settings) / "embedded")
    command = [sys.executable, "-m", "fhir_coder", "serve", "--port", "0", "--mllp-port", "0"]
    environment = {**os.environ, "FHIR_CODER_ENCODER": "none", "FHIR_CODER_DATA_DIR": str(data)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            found = READY.match(process.stdout.readline())
            assert found
            yield f"{found[1]}/fhir"
        finally:
            process.kill()


def ask(address: str, status: int = 200, /, **query: Any) -> dict[str, Any]:
    response = httpx2.get(address, params=query, timeout=30)
    assert response.status_code == status, response.text
    resource: dict[str, Any] = response.json()
    get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    return resource


def values(resource: dict[str, Any], name: str) -> list[Any]:
    return [list(each.values())[1] for each in resource["parameter"] if each["name"] == name]


def test_the_code_systems_are_listed_with_their_versions(base: str) -> None:
    listed = {each["uri"]: each["version"] for each in ask(f"{base}/metadata", mode="terminology")["codeSystem"]}
    assert listed.keys() == {ICD10CM, SNOMED, RXNORM, LOINC, HCPCS, HPO}
    assert all(version["code"] for (version,) in listed.values())


def test_lookup_and_validation(base: str) -> None:
    found = ask(f"{base}/CodeSystem/$lookup", system=ICD10CM, code="I10")
    assert values(found, "display") == ["Essential (primary) hypertension"]
    assert "high blood pressure" in [part["valueString"] for (part,) in values(found, "designation")]
    ask(f"{base}/CodeSystem/$lookup", 404, system=ICD10CM, code="I10.00")
    for system, code in ((SNOMED, "38341003"), (LOINC, "4548-4"), (RXNORM, "29046"), (HPO, "HP:0000822")):
        found = ask(f"{base}/ValueSet/$validate-code", url=f"{system}?fhir_vs", code=code)
        assert values(found, "result") == [True]
    assert values(ask(f"{base}/CodeSystem/$validate-code", url=ICD10CM, code="E11"), "result") == [False]


def test_translation(base: str) -> None:
    found = ask(f"{base}/ConceptMap/$translate", system=SNOMED, code="38341003", targetsystem=ICD10CM)
    assert [match[1]["valueCoding"]["code"] for match in values(found, "match")] == ["I10"]
    found = ask(f"{base}/ConceptMap/$translate", system=ICD10CM, code="I10", targetsystem=SNOMED, reverse="true")
    assert "38341003" in [match[1]["valueCoding"]["code"] for match in values(found, "match")]


def test_expansion(base: str) -> None:
    asked = {"url": f"{SNOMED}?fhir_vs", "filter": "hypertension"}
    whole = ask(f"{base}/ValueSet/$expand", **asked)["expansion"]
    codes = [each["code"] for each in whole["contains"]]
    assert "38341003" in codes[:3]
    assert len(codes) == whole["total"] > 20
    pages = [ask(f"{base}/ValueSet/$expand", **asked, offset=at, count=10) for at in range(0, len(codes), 10)]
    assert [each["code"] for page in pages for each in page["expansion"]["contains"]] == codes
    assert "38341003" in [
        each["code"] for each in ask(f"{base}/ValueSet/$expand", **asked | {"filter": "htn"})["expansion"]["contains"]
    ]
    (issue,) = ask(f"{base}/ValueSet/$expand", 422, url=f"{ICD10CM}?fhir_vs")["issue"]
    assert issue["code"] == "too-costly"
    total = ask(f"{base}/ValueSet/$expand", url=f"{ICD10CM}?fhir_vs", count=0)["expansion"]["total"]
    assert total > 95_000


def test_our_own_keys_are_no_codes_of_rxnorm(base: str) -> None:
    found: list[str] = []
    while True:
        page = ask(f"{base}/ValueSet/$expand", url=f"{RXNORM}?fhir_vs", count=1000, offset=len(found))["expansion"]
        found += [each["code"] for each in page.get("contains", [])]
        if len(found) == page["total"]:
            break
    assert len(found) > 2_000
    assert all(code.isdigit() for code in found)
