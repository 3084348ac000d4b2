"""AuditEvents: the patterns of BALP, who did what, once; and what the checks refuse."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from fhir_coder.errors import ConformanceError
from fhir_coder.fhir.audit_event import BALP, PROFILE, Act, Interaction, Peer, User, audit_entry, broken_pattern
from fhir_coder.fhir.checks import check

SERVER = Peer(name="fhir.example.org", address="https://fhir.example.org/fhir", network="5")
ACT = Act(
    interaction="create",
    request="r1",
    recorded="2026-03-01T12:00:00+00:00",
    client=Peer(name="", address="coder", network="1"),
    server=SERVER,
    data=("Condition/1", "Provenance/2"),
    patient="Patient/7",
    source="DocumentReference/3",
)


def event(act: Act) -> dict[str, Any]:
    """Return the AuditEvent of an act, which keeps the rules."""
    entry = audit_entry(act)
    check({"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
    resource: dict[str, Any] = entry["resource"]
    return resource


@pytest.mark.parametrize(
    ("interaction", "patient", "profiles", "action", "roles"),
    [
        ("create", "Patient/7", [PROFILE, f"{BALP}PatientCreate"], "C", ["110153", "110152"]),
        ("create", None, [PROFILE, f"{BALP}Create"], "C", ["110153", "110152"]),
        ("update", "Patient/7", [PROFILE, f"{BALP}PatientUpdate"], "U", ["110153", "110152"]),
        ("read", "Patient/7", [PROFILE, f"{BALP}PatientRead"], "R", ["110152", "110153"]),
        ("operation", "Patient/7", [PROFILE], "E", ["110153", "110152"]),
        ("export", "Patient/7", [PROFILE], "R", ["110153", "110152"]),
    ],
)
def test_the_pattern_of_each_interaction(
    interaction: Interaction, patient: str | None, profiles: list[str], action: str, roles: list[str]
) -> None:
    made = event(
        replace(ACT, interaction=interaction, patient=patient, operation="$x" if interaction == "operation" else "")
    )
    assert (made["meta"]["profile"], made["action"], made["outcome"]) == (profiles, action, "0")
    assert [each["type"]["coding"][0]["code"] for each in made["agent"]] == roles
    assert [each["code"] for each in made.get("subtype", ())] == ([] if interaction == "export" else [interaction])


def test_one_entity_is_the_system_object_and_the_document_is_used() -> None:
    kinds = [(each.get("what", {}).get("reference"), each["type"]["code"]) for each in event(ACT)["entity"]]
    assert kinds == [
        ("Patient/7", "1"),
        (None, "XrequestId"),
        ("Provenance/2", "2"),
        ("Condition/1", "Condition"),
        ("DocumentReference/3", "DocumentReference"),
    ]
    assert event(ACT)["entity"][-1]["lifecycle"]["code"] == "6"


def test_who_asks_is_the_user_or_else_the_client() -> None:
    assert [each["requestor"] for each in event(ACT)["agent"]] == [True, False]
    made = event(replace(ACT, user=User(system="https://issuer.example.org", value="app nurse")))
    assert [each["requestor"] for each in made["agent"]] == [False, False, True]
    assert made["agent"][2]["who"] == {"identifier": {"system": "https://issuer.example.org", "value": "app nurse"}}


def test_what_failed_claims_no_pattern() -> None:
    assert event(replace(ACT, outcome="4"))["meta"]["profile"] == [PROFILE]


def test_an_act_is_one_event_and_another_act_another_one() -> None:
    first = audit_entry(ACT)["request"]
    assert audit_entry(replace(ACT, recorded="2027-01-01T00:00:00Z", data=ACT.data[::-1]))["request"] == first
    others = (
        replace(ACT, request="r2"),
        replace(ACT, interaction="update"),
        replace(ACT, data=("Condition/1",)),
        replace(ACT, server=replace(SERVER, address="https://other.example.org")),
    )
    assert first not in [audit_entry(each)["request"] for each in others]


@pytest.mark.parametrize(
    ("element", "value"),
    [("action", "U"), ("outcome", "8"), ("subtype", []), ("type", {"system": "x", "code": "rest"}), ("entity", [])],
)
def test_an_event_unlike_its_pattern_is_refused(element: str, value: Any) -> None:
    broken = {**event(ACT), element: value}
    assert element in [place for place, _ in broken_pattern(broken)]


def test_agents_and_entities_are_those_of_the_pattern() -> None:
    broken = deepcopy(event(ACT))
    del broken["agent"][0]["network"]
    del broken["entity"][0]
    assert [place for place, _ in broken_pattern(broken)] == ["agent", "entity"]
    broken["meta"]["profile"] = [f"{BALP}Delete"]
    assert [place for place, _ in broken_pattern(broken)] == ["meta.profile"]


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (("action",), "X", "action"),
        (("agent", 0, "network", "type"), "9", "agent.network.type"),
        (("agent", 0, "who"), {"reference": "Condition/1"}, "agent.who"),
        (("entity", 2, "query"), "eA==", "coded-audit-event"),
    ],
)
def test_the_checks_know_audit_events(path: tuple[Any, ...], value: Any, problem: str) -> None:
    broken = deepcopy(event(ACT))
    place: Any = broken
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    with pytest.raises(ConformanceError, match=problem):
        check({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": broken}]})
