"""What a new version of a document changes in what its earlier version, or the documents it replaces, gave.

READ FIRST for the life of a document. All here is pure: `revise` compares the ledger with the new Bundle and gives
the steps; `taken_back` says for each type how FHIR R4 tells that a resource is void; `agrees` tells whether somebody
else has changed a resource.

A resource is never deleted. What no longer holds becomes entered-in-error; what the replacement says again stays the
same resource, under its id, with its new source: who refers to it, or has looked at it, finds it as it is now, and the
server's history has what it was.

Sources: https://hl7.org/fhir/R4/condition.html (con-5), https://hl7.org/fhir/R4/allergyintolerance.html (ait-2),
https://hl7.org/fhir/R4/documentreference.html (status), https://hl7.org/fhir/R4/provenance.html (activity).
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from fhir_coder.delivery.client import Standing
from fhir_coder.delivery.written import State, Written
from fhir_coder.fhir.elements import fixed
from fhir_coder.fhir.identity import IDENTIFIER_SYSTEM

Json = Mapping[str, Any]
Act = Literal["new", "same", "settled", "update", "reinstate", "adopt", "evidence", "retract", "supersede"]
"""new: nothing stands yet. same: it stands as it is said. settled: it is somebody else's now, or their resource with
our evidence. update: it says something else than before. reinstate: it was taken back and is said again. adopt: a
replaced document gave it, and this one says it too. evidence: the chart has it from others; the document becomes
evidence of theirs (`reconcile`). retract: it is not said any more. supersede: the replaced
document itself."""

_DOCUMENT = "DocumentReference"
_PROVENANCE = "Provenance"
_ERROR = "entered-in-error"
_HL7 = "http://terminology.hl7.org/CodeSystem/"
# Where a type says that a resource is void: an element of type code, or a CodeableConcept of this code system. The
# second kind comes with a clinicalStatus that must then be absent (con-5, ait-2).
_VERIFIED: Mapping[str, str] = {
    "Condition": f"{_HL7}condition-ver-status",
    "AllergyIntolerance": f"{_HL7}allergyintolerance-verification",
}
# Times of the coding: no part of what is said.
_TIMES = frozenset({"recordedDate", "recorded"})
# What servers keep for themselves, or make out of the rest.
_SERVERS = frozenset({"id", "meta", "text"})
# What the words of a resource say, besides its concept; by this a fact of one document is known in another.
_SAID = ("relationship", "bodySite", "component")
_CONCEPTS = ("code", "medicationCodeableConcept", "type")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is to be done with one entry of the Bundle, or with one resource that the Bundle does not have."""

    act: Act
    entry: Json | None = None  # none for what is taken back
    row: Written | None = None  # what the ledger knows of it; none for what is new
    reason: str = ""  # why it is taken back


def revise(
    document: str, own: Sequence[Written], replaced: Sequence[Written], entries: Sequence[Json], *, withdrawn: bool
) -> list[Step]:
    """Return the steps from what stands to what `entries` say: one for each entry, then one for each row left over.

    `own` is what the ledger knows of this document, `replaced` what it knows of those whose place it takes. Of a
    document that is `withdrawn`, the DocumentReference goes too, where it was ours and the Bundle tells no more of it.
    """
    known = {row.identity: row for row in own}
    said = {str(entry.get("fullUrl")) for entry in entries}
    stands = ("standing", "left")
    adoptable = _by_meaning(row for row in (*own, *replaced) if row.state in stands and row.identity not in said)
    steps = [_step(entry, known, adoptable) for entry in entries]
    used = {step.row.identity for step in steps if step.row is not None}
    left = [row for row in (*own, *replaced) if row.identity not in used]
    return steps + [
        step for row in left if (step := _taking_back(row, is_own=row.document == document, withdrawn=withdrawn))
    ]


def _step(entry: Json, known: Mapping[str, Written], adoptable: Mapping[tuple[Any, ...], deque[Written]]) -> Step:
    row = known.get(str(entry.get("fullUrl")))
    if row is None:
        said = meaning(entry["resource"])
        found = adoptable.get(said) if said else None
        if not found:
            return Step(act="new", entry=entry)
        row = found.popleft()
        return Step(act="adopt" if row.state == "standing" else "settled", entry=entry, row=row)
    if row.state in ("left", "evidence"):
        return Step(act="settled", entry=entry, row=row)
    if row.type == _PROVENANCE:
        return Step(act="same", entry=entry, row=row)  # that it was done so remains true
    if row.state == "retracted":
        return Step(act="reinstate", entry=entry, row=row)
    return Step(act="same" if row.content == content(entry["resource"]) else "update", entry=entry, row=row)


def _taking_back(row: Written, *, is_own: bool, withdrawn: bool) -> Step | None:
    if row.type == _PROVENANCE or row.state not in ("standing", "evidence"):
        return None
    if not is_own:
        act: Act = "supersede" if row.type == _DOCUMENT else "retract"
        return Step(act=act, row=row, reason="The source document was replaced by another one")
    if withdrawn:
        return Step(act="retract", row=row, reason="The source document was withdrawn")
    # The document itself is still there when its text says one thing less.
    return None if row.type == _DOCUMENT else Step(act="retract", row=row, reason="The source document says so no more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a step comes to, now that what stands is known."""

    step: Step
    entry: Json | None = None  # to be sent; none where nothing is to be done
    state: State = "standing"  # of the ledger's row afterwards
    version: str | None = None  # of what stands, where nothing is sent
    kept: str = ""  # why theirs is kept, where it is
    gone: bool = False  # there is nothing at the place any more


def decide(step: Step, standing: Standing) -> Decision:
    """Return what to do about a step other than new, same and settled, before what stands at its place."""
    assert step.row is not None  # noqa: S101 - told to the type checker: those acts are about a row
    taking_back = step.entry is None
    state: State = "retracted" if taking_back else "standing"
    if standing.resource is None:
        if taking_back:
            return Decision(step=step, state="retracted", gone=True, kept="nothing was there any more")
        if standing.deleted:
            return Decision(step=step, state="left", gone=True, kept="somebody deleted it")
        return Decision(step=step, entry=step.entry)
    is_theirs = step.row.state == "evidence"
    if is_theirs:
        state = "evidence"
    wanted = _wanted(step, step.row, standing.resource)
    is_done = (
        wanted.get("evidence") == standing.resource.get("evidence") if is_theirs else agrees(wanted, standing.resource)
    )
    if is_done:
        return Decision(step=step, state=state, version=standing.version)
    if not is_theirs and not _is_ours(step.row, standing):
        return Decision(
            step=step, state="left", version=standing.version, kept="somebody else confirmed, corrected or changed it"
        )
    full_url = step.row.identity if step.entry is None else str(step.entry["fullUrl"])
    return Decision(step=step, entry=put(full_url, step.row.place, wanted, standing.version), state=state)


def _wanted(step: Step, row: Written, theirs: Json) -> dict[str, Any]:
    """What is to stand in the place of `theirs`."""
    if row.state == "evidence":
        # Whatever else they changed stays as they have it.
        without = without_evidence(theirs, row.resource)
        return without if step.entry is None else with_evidence(without, step.entry["resource"])
    if step.entry is None:
        return taken_back(theirs, superseded=step.act == "supersede")
    return dict(step.entry["resource"])


def with_evidence(theirs: Json, ours: Json) -> dict[str, Any]:
    """Return their Condition with the evidence of ours added."""
    known = theirs.get("evidence", [])
    return {**theirs, "evidence": [*known, *(each for each in ours.get("evidence", ()) if not _stands_in(each, known))]}


def without_evidence(theirs: Json, ours: Json) -> dict[str, Any]:
    """Return their Condition without the evidence of ours."""
    left = [
        each for each in theirs.get("evidence", ()) if not any(_equal(one, each) for one in ours.get("evidence", ()))
    ]
    rest = {name: value for name, value in theirs.items() if name != "evidence"}
    return rest | ({"evidence": left} if left else {})


def _stands_in(evidence: Json, known: Iterable[Json]) -> bool:
    # A reference within the Bundle is to a document that the server does not have yet.
    is_new = any(str(each.get("reference", "")).startswith("urn:") for each in evidence.get("detail", ()))
    return not is_new and any(_equal(evidence, each) for each in known)


def _is_ours(row: Written, standing: Standing) -> bool:
    # The sender of a message owns its document: what others add to it does not keep a new version from being written.
    if row.type == _DOCUMENT or (row.version is not None and row.version == standing.version):
        return True
    return standing.resource is not None and agrees(row.resource, standing.resource)


def put(full_url: str, place: str, resource: Json, version: str | None) -> dict[str, Any]:
    """Return the entry that updates a resource, if it still has that version."""
    meta = {name: value for name, value in resource.get("meta", {}).items() if name not in ("versionId", "lastUpdated")}
    body = {name: value for name, value in resource.items() if name != "meta"}
    request = {"method": "PUT", "url": place} | ({"ifMatch": f'W/"{version}"'} if version else {})
    return {
        "fullUrl": full_url,
        "resource": {**body, "id": place.partition("/")[2]} | ({"meta": meta} if meta else {}),
        "request": request,
    }


def with_status(resource: Json, status: str) -> dict[str, Any]:
    """Return a resource of a document that now has this docStatus, with the marks that follow from that.

    A result that is preliminary because the note is not sure of it stays so.
    """
    changed = dict(resource)
    if resource["resourceType"] == _DOCUMENT:
        changed["docStatus"] = status
    elif resource["resourceType"] == "Observation" and resource["status"] in ("preliminary", "final"):
        changed["status"] = "preliminary" if status == "preliminary" or _is_unsure(resource) else "final"
    return changed


def status_steps(own: Sequence[Written], status: str) -> list[Step]:
    """Return the steps by which what a document gave takes its new docStatus."""
    changed = [(row, with_status(row.resource, status)) for row in own if row.state == "standing"]
    return [
        Step(act="update", entry=put(row.identity, row.place, resource, None), row=row)
        for row, resource in changed
        if resource != row.resource
    ]


def _is_unsure(resource: Json) -> bool:
    parts = [part for each in resource.get("extension", ()) for part in each.get("extension", ())]
    return any(part.get("url") == "certainty" and part.get("valueCode") == "possible" for part in parts)


def content(resource: Json) -> str:
    """Return a digest of what a resource says; the time of the coding is no part of it."""
    said = {name: value for name, value in resource.items() if name not in _TIMES}
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()


def meaning(resource: Json) -> tuple[Any, ...] | None:
    """Return by what a fact is known in another document: type, concept, values. None for what has no concept."""
    concept = next((resource[name] for name in _CONCEPTS if isinstance(resource.get(name), Mapping)), None)
    conditions = [_concept(each.get("code", {})) for each in resource.get("condition", ())]
    if resource["resourceType"] == _DOCUMENT or (concept is None and not conditions):
        return None
    said = {name: value for name, value in resource.items() if name in _SAID or name.startswith("value")}
    rest = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
    return (resource["resourceType"], _concept(concept or {}), tuple(conditions), rest)


def taken_back(resource: Json, *, superseded: bool = False) -> dict[str, Any]:
    """Return the resource as void: entered in error, or for a document that was replaced superseded."""
    kind = resource["resourceType"]
    changed = dict(resource)
    if kind in _VERIFIED:
        changed.pop("clinicalStatus", None)
        changed["verificationStatus"] = fixed(_VERIFIED[kind], _ERROR, "Entered in Error")
    else:
        changed["status"] = "superseded" if superseded else _ERROR
    return changed


def agrees(ours: Json, theirs: Json) -> bool:
    """Whether a resource on the server still says what we sent, or are about to send.

    The server's own elements, the times of coding and the order of keys do not count; nor does a reference of ours
    that only the server can resolve.
    """
    names = (ours.keys() | theirs.keys()) - _SERVERS - _TIMES
    return all(_equal(ours.get(name), theirs.get(name)) for name in names)


def told(provenance: Json, targets: Iterable[str], activity: str, reason: str, identity: str, now: str) -> Json:
    """Return the Provenance of a change: by whom and from what as in `provenance`, of the `targets` (references).

    `activity` is a code of v3-DataOperation (NULLIFY, UPDATE), `now` a FHIR instant.
    """
    meta = {name: value for name, value in provenance.get("meta", {}).items() if name in ("security", "profile")}
    return {
        "resourceType": _PROVENANCE,
        "meta": meta | {"tag": [{"system": IDENTIFIER_SYSTEM, "code": identity}]},
        "target": [{"reference": target} for target in targets],
        "recorded": now,
        "reason": [{**provenance.get("reason", [{}])[0], "text": reason}],
        "activity": fixed(f"{_HL7}v3-DataOperation", activity, activity.lower()),
        "agent": provenance["agent"],
        "entity": provenance.get("entity", []),
    }


def _by_meaning(rows: Iterable[Written]) -> dict[tuple[Any, ...], deque[Written]]:
    found: dict[tuple[Any, ...], deque[Written]] = {}
    for row in rows:
        if said := meaning(row.resource):
            found.setdefault(said, deque()).append(row)
    return found


def _concept(concept: Json) -> tuple[str, ...]:
    codings = sorted(f"{each.get('system')}|{each.get('code')}" for each in concept.get("coding", ()))
    return tuple(codings) or (str(concept.get("text", "")).casefold(),)


def _equal(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return ours.keys() == theirs.keys() and all(
            _same_reference(ours[name], theirs[name]) if name == "reference" else _equal(ours[name], theirs[name])
            for name in ours
        )
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(_equal, ours, theirs))
    return bool(ours == theirs)


def _same_reference(ours: Any, theirs: Any) -> bool:
    # Servers may make a reference to themselves absolute, and the other way round.
    return str(ours).startswith("urn:") or str(theirs).endswith(str(ours)) or str(ours).endswith(str(theirs))
