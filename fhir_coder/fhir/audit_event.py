"""Who read or wrote what, when, and in which request: https://hl7.org/fhir/R4/auditevent.html.

A create, update and read follows a pattern of IHE Basic Audit Log Patterns (BALP 1.1,
https://profiles.ihe.net/ITI/BALP) and claims its profile; for an operation, and for what is written into a folder, BALP
has no pattern, and the event looks the same but claims none. Their codes are in `mappings/fhir/audit_interactions.csv`.

A transaction is one event for what it created and one for what it updated, not one for each resource: BALP wants one
entity of the type "System Object", so the others bear the name of their resource type.

An event names resources by reference alone, and holds nothing of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from fhir_coder.errors import TableError
from fhir_coder.fhir.elements import OURS, Json, fixed
from fhir_coder.fhir.identity import IDENTIFIER_SYSTEM, digest, full_url
from fhir_coder.fhir.provenance import SOFTWARE, software_name
from fhir_coder.tables import read_table

Interaction = Literal["create", "update", "read", "operation", "export"]
Outcome = Literal["0", "4", "8"]
"""0: success. 4: what was asked for was at fault. 8: something else was."""

PROFILE = OURS + "coded-audit-event"
BALP = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
REQUEST_ID = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType"

_HL7 = "http://terminology.hl7.org/CodeSystem/"
_DICOM = "http://dicom.nema.org/resources/ontology/DCM"
_ROLES = {"110150": "Application", "110152": "Destination Role ID", "110153": "Source Role ID"}
_PARTICIPATION = {"AUT": "author (originator)", "IRCP": "information recipient"}
_OBJECT = {"system": f"{_HL7}audit-entity-type", "code": "2", "display": "System Object"}
_PERSON = {"system": f"{_HL7}audit-entity-type", "code": "1", "display": "Person"}
_PATIENT = {"system": f"{_HL7}object-role", "code": "1", "display": "Patient"}
_REPORT = {"system": f"{_HL7}object-role", "code": "3", "display": "Report"}
_DOMAIN_RESOURCE = {"system": f"{_HL7}object-role", "code": "4", "display": "Domain Resource"}
_JOB = {"system": f"{_HL7}object-role", "code": "20", "display": "Job"}
_SERVER = {"system": f"{_HL7}security-source-type", "code": "4", "display": "Application Server"}
_USED = {"system": f"{_HL7}dicom-audit-lifecycle", "code": "6", "display": "Access / Use"}
# The resource that a note's transaction is best known by, first.
_TELLING = ("DocumentReference", "Provenance")

_COLUMNS = ("interaction", "type_system", "type", "type_display", "subtype", "action")
_AGENTS = ("client", "server", "user", "profile")


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One end of a connection; `network` is a code of http://hl7.org/fhir/network-type."""

    name: str  # of the machine or server; "" for this software
    address: str
    network: Literal["1", "2", "5"] | None = None  # machine name, IP address, URI; None: it was no connection


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who asked for it: an identifier of the key, the certificate or the token's subject; never a secret."""

    system: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What was done."""

    interaction: Interaction
    request: str  # X-Request-Id of the request, or what tells this act from every other one
    recorded: str  # FHIR instant
    client: Peer
    server: Peer
    data: tuple[str, ...]  # references of what was created, updated or read; none of an operation over bare text
    patient: str | None = None  # a reference
    source: str | None = None  # the document that was made use of, where it is not among the data
    operation: str = ""  # "$code-note"
    user: User | None = None
    outcome: Outcome = "0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """What all events of an interaction have alike."""

    type: Json
    subtype: Json | None
    action: str
    client: str
    server: str
    user: str
    profile: str  # of BALP, such as "Create"; "" where it has none


@cache
def patterns() -> Mapping[str, Pattern]:
    """Return the patterns by interaction. Raises `TableError` when the table holds a role that is not known."""
    found: dict[str, Pattern] = {}
    for row in read_table("fhir/audit_interactions.csv", _COLUMNS + _AGENTS):
        if not {row["client"], row["server"]} <= _ROLES.keys() or row["user"] not in _PARTICIPATION:
            raise TableError(f"mappings/fhir/audit_interactions.csv: {row['interaction']}: unknown role of an agent")
        subtype = {"system": "http://hl7.org/fhir/restful-interaction", "code": row["subtype"]}
        found[row["interaction"]] = Pattern(
            type={"system": row["type_system"], "code": row["type"], "display": row["type_display"]},
            subtype={**subtype, "display": row["subtype"]} if row["subtype"] else None,
            action=row["action"],
            client=row["client"],
            server=row["server"],
            user=row["user"],
            profile=row["profile"],
        )
    return found


def audit_entry(act: Act) -> Json:
    """Return the entry of a transaction that creates the AuditEvent of an act once, however often it is sent.

    R4 gives AuditEvent no identifier; the identity stands in a tag, by which every server can search.
    """
    identity = digest("AuditEvent", act.request, act.interaction, act.server.address, act.outcome, *sorted(act.data))
    return {
        "fullUrl": full_url(identity),
        "resource": audit_event(act, identity),
        "request": {"method": "POST", "url": "AuditEvent", "ifNoneExist": f"_tag={IDENTIFIER_SYSTEM}|{identity}"},
    }


def audit_event(act: Act, identity: str) -> Json:
    """Return the AuditEvent of an act."""
    pattern = patterns()[act.interaction]
    result: Json = {
        "resourceType": "AuditEvent",
        "meta": {"profile": _profiles(act, pattern), "tag": [{"system": IDENTIFIER_SYSTEM, "code": identity}]},
        "type": dict(pattern.type),
    }
    if pattern.subtype is not None:
        result["subtype"] = [dict(pattern.subtype)]
    return result | {
        "action": pattern.action,
        "recorded": act.recorded,
        "outcome": act.outcome,
        "agent": _agents(act, pattern),
        "source": {"observer": _who(""), "type": [dict(_SERVER)]},
        "entity": _entities(act),
    }


def _profiles(act: Act, pattern: Pattern) -> list[str]:
    """The profiles that are met. BALP's are for what succeeded, and is about a resource."""
    if not pattern.profile or act.outcome != "0" or not act.data:
        return [PROFILE]
    return [PROFILE, f"{BALP}{'Patient' if act.patient else ''}{pattern.profile}"]


def _agents(act: Act, pattern: Pattern) -> list[Json]:
    # The one who asks: the user where there is one, else the client by itself.
    agents = [
        _agent(act.client, pattern.client, requestor=act.user is None),
        _agent(act.server, pattern.server, requestor=False),
    ]
    if act.user is not None:
        role = fixed(f"{_HL7}v3-ParticipationType", pattern.user, _PARTICIPATION[pattern.user])
        who = {"identifier": {"system": act.user.system, "value": act.user.value}}
        agents.append({"type": role, "who": who, "requestor": True})
    return agents


def _agent(peer: Peer, role: str, *, requestor: bool) -> Json:
    agent: Json = {"type": fixed(_DICOM, role, _ROLES[role]), "who": _who(peer.name), "requestor": requestor}
    return agent | ({"network": {"address": peer.address, "type": peer.network}} if peer.network else {})


def _who(name: str) -> Json:
    return {"display": name} if name else {"type": "Device", "identifier": dict(SOFTWARE), "display": software_name()}


def _entities(act: Act) -> list[Json]:
    entities: list[Json] = []
    if act.patient is not None:
        entities.append({"what": {"reference": act.patient}, "type": dict(_PERSON), "role": dict(_PATIENT)})
    request_type = {"system": REQUEST_ID, "code": "XrequestId"}
    entities.append({"what": {"identifier": {"value": act.request}}, "type": request_type})
    if act.operation:
        document = {"what": {"reference": act.data[0]}} if act.data else {}
        entities.append({**document, "type": dict(_OBJECT), "role": dict(_JOB), "name": act.operation})
    else:
        ranked = sorted(act.data, key=_rank)
        entities += [{**_resource(place), "type": dict(_OBJECT)} for place in ranked[:1]]
        entities += [_resource(place) for place in ranked[1:]]
    if act.source is not None and act.source not in act.data:
        entities.append({**_resource(act.source), "lifecycle": dict(_USED)})
    return entities


def _resource(place: str) -> Json:
    kind = _kind(place)
    type_ = {"system": "http://hl7.org/fhir/resource-types", "code": kind, "display": kind}
    role = _REPORT if kind == "DocumentReference" else _DOMAIN_RESOURCE
    return {"what": {"reference": place}, "type": type_, "role": dict(role)}


def _kind(place: str) -> str:
    return place.rsplit("/", 2)[-2] if "/" in place else "Resource"


def _rank(place: str) -> int:
    kind = _kind(place)
    return _TELLING.index(kind) if kind in _TELLING else len(_TELLING)


def broken_pattern(event: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the elements of an AuditEvent that break FHIR's invariant or the pattern of BALP it claims, and how."""
    problems = [
        ("entity", "has both a name and a query (sev-1)")
        for each in event.get("entity", ())
        if {"name", "query"} <= each.keys()
    ]
    for claimed in event.get("meta", {}).get("profile", ()):
        if claimed.startswith(BALP):
            name = claimed.removeprefix(BALP)
            known = {each.profile: each for each in patterns().values() if each.profile}
            pattern = known.get(name.removeprefix("Patient"))
            if pattern is None:
                problems.append(("meta.profile", "claims a pattern that is not known here"))
            else:
                problems += _unlike(event, pattern, name, has_patient=name.startswith("Patient"))
    return problems


def _unlike(event: Mapping[str, Any], pattern: Pattern, name: str, *, has_patient: bool) -> list[tuple[str, str]]:
    rule = f"(BALP {name})"
    subtype = pattern.subtype or {}
    problems = [
        (element, f"is not that of the pattern {rule}")
        for element, fits in (
            ("type", _is(event.get("type", {}), pattern.type)),
            ("subtype", any(_is(each, subtype) for each in event.get("subtype", ()))),
            ("action", event.get("action") == pattern.action),
            ("outcome", event.get("outcome") == "0"),
        )
        if not fits
    ]
    for role in (pattern.client, pattern.server):
        found = [each for each in event.get("agent", ()) if _has_role(each, role)]
        if len(found) != 1 or not {"who", "network"} <= found[0].keys():
            problems.append(("agent", f"has not one {_ROLES[role]} with who and network {rule}"))
    wanted = [(_OBJECT, 1)] + ([(_PERSON, 1)] if has_patient else [])
    for type_, number in wanted:
        found = [each for each in event.get("entity", ()) if _is(each.get("type", {}), type_)]
        if len(found) != number or any("what" not in each for each in found):
            problems.append(("entity", f"has not one {type_['display']} with what {rule}"))
    return problems


def _has_role(agent: Mapping[str, Any], role: str) -> bool:
    return any(_is(each, {"system": _DICOM, "code": role}) for each in agent.get("type", {}).get("coding", ()))


def _is(coding: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    return (coding.get("system"), coding.get("code")) == (wanted["system"], wanted["code"])
