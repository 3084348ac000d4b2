"""Delivers what a note gave, and takes back what no longer holds: to the FHIR server, into the folder, or to both.

The ledger (`written`) knows what stands, `revision` says what has to change, and every change of a resource names the
version that it was made from. What somebody else has confirmed, corrected or deleted meanwhile is theirs: it is kept,
and the caller is told so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Engine

from fhir_coder.delivery import reconcile
from fhir_coder.delivery.client import FhirClient, Sent, VersionConflictError, resolved
from fhir_coder.delivery.dispatch import Dispatch
from fhir_coder.delivery.revision import (
    Decision,
    Step,
    content,
    decide,
    revise,
    status_steps,
    taken_back,
    told,
    with_status,
)
from fhir_coder.delivery.targets import FolderTarget, ServerTarget
from fhir_coder.delivery.written import Ledger, Written
from fhir_coder.fhir.checks import check
from fhir_coder.fhir.identity import IDENTIFIER_SYSTEM, digest, full_url
from fhir_coder.settings import Settings

Json = Mapping[str, Any]
Target = ServerTarget | FolderTarget
What = Literal[
    "update", "reinstate", "adopt", "evidence", "retract", "supersede", "coded", "kept", "gone", "ignored", "waiting"
]

_ATTEMPTS = 4  # to make a change before somebody else makes another one
_PROVENANCE = "Provenance"
_EVIDENCE = {
    False: "The source document was added as evidence",
    True: "The source document is no evidence of it any more",
}
_DOCUMENT = "DocumentReference"
_CHANGES = ("update", "reinstate", "adopt", "evidence", "retract", "supersede")


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a delivery did to what stood before, or left undone. It holds nothing of the note."""

    target: Literal["server", "folder"]
    what: What
    place: str  # "Condition/7"; "" where it is about the whole document
    reason: str = ""


class Deliverer:
    """Delivers to the places that the settings name. Its methods may be called from several threads.

    Deliveries about one patient must come one after another, in order: that is the outbox's part.
    """

    def __init__(
        self, settings: Settings, engine: Engine, *, attempts: int = 3, lookup: reconcile.Lookup | None = None
    ) -> None:
        """`engine` is that of `open_database`; `attempts` are made to reach a server that is away or busy.

        `lookup` finds the concepts of a text (`Coder.lookup`); without it, nothing in the chart gets codes.

        Raises `DeliveryError` when the folder cannot be written.
        """
        self._enrich = settings.enrich
        self._lookup = lookup if settings.enrich == "all" else None
        self._ledger = Ledger(engine)
        self._targets: list[Target] = []
        if settings.out is not None:
            self._targets.append(FolderTarget(settings.out))
        client = FhirClient.of(settings, attempts=attempts)
        if client is not None:
            self._targets.append(ServerTarget(str(settings.server), client))

    def deliver(self, dispatch: Dispatch) -> tuple[Effect, ...]:
        """Deliver, to the folder first, and return what became of what stood before.

        Doing so again changes nothing more, so that a delivery that failed half way may simply be repeated.

        Raises `DeliveryError` when the server refuses it for good or a file is damaged, `TransientDeliveryError` when
        it may succeed later, and SQLAlchemyError when the ledger cannot be read or written.
        """
        return tuple(effect for target in self._targets for effect in self._deliver(target, dispatch))

    def close(self) -> None:
        """Write files through to the disk and close the connections."""
        for target in self._targets:
            target.close()

    def _deliver(self, target: Target, dispatch: Dispatch) -> list[Effect]:
        entries: Sequence[Json] = dispatch.bundle.get("entry", [])
        if dispatch.document is None:
            if entries:
                target.send(_bundle(entries))
            return []
        if dispatch.status_alone is not None:
            return self._change_status(target, dispatch, dispatch.document, dispatch.status_alone)
        entries, said = self._admitted(target, dispatch, entries)
        adds_evidence = self._enrich != "off" and not dispatch.waits
        delivery = _Delivery(self._ledger, target, dispatch, entries, adds_evidence=adds_evidence)
        effects = said + delivery.carry_out()
        kept = {"bundle": dispatch.bundle, "retracts": dispatch.retracts, "names": dispatch.names}
        self._ledger.wait(target.name, dispatch.document, kept if dispatch.waits else None)
        if self._lookup is not None and isinstance(target, ServerTarget):
            effects += _code_chart(target.client, entries, self._lookup)
        return effects

    def _change_status(self, target: Target, dispatch: Dispatch, document: str, status: str) -> list[Effect]:
        """Give what a document gave, or has waiting, its new docStatus."""
        waiting = self._ledger.waiting(target.name, document)
        if waiting is not None and status != "preliminary":
            entries = waiting["bundle"].get("entry", ())
            entries = [{**entry, "resource": with_status(entry["resource"], status)} for entry in entries]
            final = Dispatch(
                bundle=_bundle(entries),
                document=document,
                retracts=tuple(waiting["retracts"]),
                names=tuple(waiting["names"]),
            )
            return self._deliver(target, final)
        steps = status_steps(self._ledger.rows(target.name, [document]), status)
        if not steps:
            reason = "the status is that of a document of which nothing is known, or it has that status already"
            return [Effect(target=_kind(target), what="ignored", place="", reason=reason)]
        return _Delivery(self._ledger, target, dispatch, [], adds_evidence=False, steps=steps).carry_out()

    def _admitted(
        self, target: Target, dispatch: Dispatch, entries: Sequence[Json]
    ) -> tuple[Sequence[Json], list[Effect]]:
        """The entries, without what was derived where that is not to be written, and why it is not."""
        assert dispatch.document is not None  # noqa: S101 - told to the type checker: the caller has looked
        known_by = (dispatch.document, *dispatch.names)
        replaced_by = self._ledger.replaced_by(target.name, known_by) - {dispatch.document, *dispatch.retracts}
        if replaced_by:
            reason = "the document was replaced by another one before; what it says is not written"
            return _superseded(entries), [Effect(target=_kind(target), what="ignored", place="", reason=reason)]
        if dispatch.waits:
            reason = "the document is preliminary; what it says is written when it is final (setting preliminary)"
            return _underived(entries), [Effect(target=_kind(target), what="waiting", place="", reason=reason)]
        repeated = self._ledger.documents(target.name, dispatch.repeats)
        if any(row.state == "standing" for row in self._ledger.rows(target.name, repeated)):
            reason = "the document holds another one in another form (transforms, signs); its facts are written already"
            return _underived(entries), [Effect(target=_kind(target), what="ignored", place="", reason=reason)]
        return entries, []


class _Delivery:
    """One delivery to one target."""

    def __init__(
        self,
        ledger: Ledger,
        target: Target,
        dispatch: Dispatch,
        entries: Sequence[Json],
        *,
        adds_evidence: bool,
        steps: list[Step] | None = None,
    ) -> None:
        assert dispatch.document is not None  # noqa: S101 - told to the type checker: the caller has looked
        self._ledger = ledger
        self._target = target
        self._dispatch = dispatch
        self._document = dispatch.document
        self._withdrawn = self._document in dispatch.retracts
        replaced = [each for each in ledger.documents(target.name, dispatch.retracts) if each != self._document]
        self._own = ledger.rows(target.name, [self._document])
        self._replaced = ledger.rows(target.name, replaced)
        self._entries = entries
        if steps is None:
            steps = revise(self._document, self._own, self._replaced, entries, withdrawn=self._withdrawn)
        self._steps = [each for each in steps if each.entry is not None] if dispatch.waits else steps
        if adds_evidence and isinstance(target, ServerTarget):
            self._steps = reconcile.add_evidence(target.client, self._document, self._steps)

    def carry_out(self) -> list[Effect]:
        """Send what is to be sent, write the ledger, and return the effects."""
        for attempt in range(1, _ATTEMPTS + 1):
            decisions = [self._decide(step) for step in self._steps]
            sending = self._sending(decisions)
            try:
                sent = self._send(sending)
                break
            except VersionConflictError:
                if attempt == _ATTEMPTS:
                    raise
        self._record(decisions, sent)
        return [effect for decision in decisions if (effect := self._effect(decision)) is not None]

    def _decide(self, step: Step) -> Decision:
        if step.act == "new" or step.row is None:
            return Decision(step=step, entry=step.entry)
        if step.act == "settled":
            return Decision(step=step, state=step.row.state, version=step.row.version)
        if step.act == "same" and step.entry is not None:
            return Decision(step=step, entry=self._target.again(step.entry, step.row), version=step.row.version)
        return decide(step, self._target.standing(step.row))

    def _sending(self, decisions: Sequence[Decision]) -> list[Json]:
        """The entries to be sent. What is not sent, though the Bundle has it, is referred to by its place."""
        places: dict[str, str] = {}
        dropped: set[str] = set()
        for each in decisions:
            # What is others' was not derived from the note, though the note is evidence of it.
            if each.step.entry is not None and each.step.row and (each.entry is None or each.state == "evidence"):
                url = str(each.step.entry["fullUrl"])
                places[url] = each.step.row.place
                dropped |= {url} if each.gone or each.state == "evidence" else set()
        entries: list[Json] = []
        for entry in (each.entry for each in decisions if each.entry is not None):
            if entry["resource"]["resourceType"] == _PROVENANCE:
                targets = [each for each in entry["resource"]["target"] if each.get("reference") not in dropped]
                if not targets:
                    continue
                entry = {**entry, "resource": {**entry["resource"], "target": targets}}
            entries.append({**entry, "resource": resolved(entry["resource"], places)})
        entries += self._told(decisions)
        theirs = {
            each.entry["fullUrl"]
            for each in decisions
            if each.entry and each.step.row and each.step.row.state == each.state == "evidence"
        }
        if ours := [entry for entry in entries if entry["fullUrl"] not in theirs]:  # theirs need not keep our rules
            check(_bundle(ours))
        return entries

    def _told(self, decisions: Sequence[Decision]) -> list[Json]:
        """The Provenances of what is changed and taken back: one for each document, activity and reason."""
        groups: dict[tuple[str, str, str], list[Written]] = {}
        for each in decisions:
            row = each.step.row
            if row is None or row.type == _DOCUMENT or each.kept or row.type == _PROVENANCE:
                continue
            if row.state == "evidence":
                if each.step.act != "settled" and each.state == "evidence":
                    groups.setdefault((row.document, "UPDATE", _EVIDENCE[each.step.entry is None]), []).append(row)
            elif each.step.act == "retract":
                groups.setdefault((row.document, "NULLIFY", each.step.reason), []).append(row)
            elif each.step.act in ("update", "reinstate") and (each.entry is None or _is_update(each.entry)):
                reason = "A later version of the source document says it in another way"
                groups.setdefault((self._document, "UPDATE", reason), []).append(row)
        return [
            _provenance_entry(made, document, activity, reason, rows)
            for (document, activity, reason), rows in groups.items()
            if (made := self._provenance_of(document)) is not None
        ]

    def _provenance_of(self, document: str) -> Json | None:
        """The Provenance that tells who made what a document gave, and from what."""
        resources = [entry["resource"] for entry in self._entries] if document == self._document else []
        rows = [row.resource for row in (*self._own, *self._replaced) if row.document == document]
        return next((each for each in (*resources, *rows) if each["resourceType"] == _PROVENANCE), None)

    def _send(self, entries: Sequence[Json]) -> dict[str, tuple[Json, Sent]]:
        """Send the entries, and return by full URL what was sent and where it stands."""
        if not entries:
            return {}
        answers = self._target.send(_bundle(entries))
        return {str(entry["fullUrl"]): (entry, sent) for entry, sent in zip(entries, answers, strict=True)}

    def _record(self, decisions: Sequence[Decision], sent: Mapping[str, tuple[Json, Sent]]) -> None:
        places = {url: answer.place for url, (_, answer) in sent.items()}
        rows = [row for each in decisions if (row := self._row(each, sent, places)) is not None]
        own = {entry["fullUrl"] for entry in self._entries}
        rows += [
            _new_row(self._document, url, entry, answer, entry["resource"], places)
            for url, (entry, answer) in sent.items()
            if url not in own and entry["resource"]["resourceType"] == _PROVENANCE
        ]
        replaces = [] if self._withdrawn or self._dispatch.waits else self._dispatch.retracts
        # Taken over by the row of another document, or nothing of ours any more.
        over = [
            each.step.row.identity
            for each in decisions
            if each.step.row
            and (
                each.step.act in ("adopt", "evidence")
                or (each.step.act == "retract" and each.step.row.state == "evidence")
            )
        ]
        self._ledger.record(
            self._target.name,
            self._document,
            rows,
            forgotten=over,
            names=None if self._dispatch.status_alone else self._dispatch.names,
            replaces=replaces,
            stands=not self._withdrawn,
        )

    def _row(
        self, decision: Decision, sent: Mapping[str, tuple[Json, Sent]], places: Mapping[str, str]
    ) -> Written | None:
        """What the ledger has to know of a step from now on; None when that is what it knows, or nothing."""
        step, row = decision.step, decision.step.row
        if row is not None and row.state == "evidence" and step.entry is None:
            return None
        if row is not None and step.act == "evidence" and step.entry is not None and decision.state == "evidence":
            ours = {"resourceType": row.type, "evidence": step.entry["resource"].get("evidence", [])}
            return replace(
                row,
                identity=str(step.entry["fullUrl"]),
                document=self._document,
                resource=resolved(ours, places),
                revision=row.revision + 1,
            )
        identity = str(step.entry["fullUrl"]) if step.entry is not None else row.identity if row else ""
        if identity in sent:
            entry, answer = sent[identity]
            said = step.entry["resource"] if step.entry is not None else entry["resource"]
            if not _is_of_document(entry if step.entry is None else step.entry):
                return None
            if step.act == "same" and row is not None and answer.place == row.place:
                return None
            made = _new_row(self._document, identity, entry, answer, said, places)
            # What is taken back stays with the document that gave it.
            document = row.document if step.entry is None and row else self._document
            revision = row.revision + 1 if row else 1
            return replace(made, document=document, revision=revision, state=decision.state)
        if row is None or step.act == "settled":
            return None
        document = row.document if step.entry is None else self._document
        said = content(step.entry["resource"]) if step.entry is not None else row.content
        standing = row
        if not decision.kept:
            standing = replace(row, resource=self._wanted(step, places), revision=row.revision + 1)
        version = decision.version or row.version
        return replace(
            standing, identity=identity, document=document, content=said, state=decision.state, version=version
        )

    def _wanted(self, step: Step, places: Mapping[str, str]) -> Json:
        """What stands already, as it was to be sent: an earlier attempt got that far."""
        assert step.row is not None  # noqa: S101 - told to the type checker
        if step.entry is None:
            return taken_back(step.row.resource, superseded=step.act == "supersede")
        wanted: Json = resolved(step.entry["resource"], places)
        return wanted

    def _effect(self, decision: Decision) -> Effect | None:
        step = decision.step
        if step.row is None or step.act not in _CHANGES:
            return None
        what: What = "gone" if decision.gone else "kept" if decision.kept else step.act  # type: ignore[assignment]
        reason = decision.kept or step.reason
        return Effect(target=_kind(self._target), what=what, place=step.row.place, reason=reason)


def _code_chart(client: FhirClient, entries: Sequence[Json], lookup: reconcile.Lookup) -> list[Effect]:
    """Give codes to entries of the patient's chart that have words only."""
    made = next((each["resource"] for each in entries if each["resource"]["resourceType"] == _PROVENANCE), None)
    patient = reconcile.patient_of(client, entries) if made is not None else None
    if made is None or patient is None:
        return []

    def provenance_of(place: str) -> Json:
        identity = digest(place, _PROVENANCE, "codes")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        resource = {
            **told(made, [place], "UPDATE", "Codes added to its words by software", identity, now),
            "entity": [{"role": "revision", "what": {"reference": place}}],
        }
        return _created(resource, identity)

    places = reconcile.code_texts(client, patient, lookup, provenance_of)
    reason = "it had words only, and now has the codes that they name"
    return [Effect(target="server", what="coded", place=place, reason=reason) for place in places]


def _kind(target: Target) -> Literal["server", "folder"]:
    return "server" if isinstance(target, ServerTarget) else "folder"


def _bundle(entries: Sequence[Json]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}


def _is_update(entry: Json) -> bool:
    return bool(entry["request"]["method"] == "PUT")


def _is_of_document(entry: Json) -> bool:
    """Whether an entry is the document's own: it, what was derived from it, and their Provenance.

    The patient, the stay and the people of a message are not: other messages tell of them too.
    """
    return entry["resource"]["resourceType"] == _DOCUMENT or _is_derived(entry)


def _is_derived(entry: Json) -> bool:
    resource = entry["resource"]
    marks = [*_listed(resource.get("identifier")), *resource.get("meta", {}).get("tag", ())]
    return any(each.get("system") == IDENTIFIER_SYSTEM for each in marks)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _underived(entries: Sequence[Json]) -> list[Json]:
    """The entries without what was derived: the document, and those about whom it is."""
    return [entry for entry in entries if entry["resource"]["resourceType"] == _DOCUMENT or not _is_derived(entry)]


def _superseded(entries: Sequence[Json]) -> list[Json]:
    """The entries without what was derived; the document itself is marked as replaced."""
    return [
        {**entry, "resource": taken_back(entry["resource"], superseded=True)}
        if entry["resource"]["resourceType"] == _DOCUMENT
        else entry
        for entry in _underived(entries)
    ]


def _new_row(document: str, identity: str, entry: Json, answer: Sent, said: Json, places: Mapping[str, str]) -> Written:
    resource = resolved(entry["resource"], places)
    return Written(
        identity=identity,
        document=document,
        type=str(resource["resourceType"]),
        place=answer.place,
        resource=resource,
        content=content(said),
        version=answer.version,
        revision=1,
        state="standing",
    )


def _provenance_entry(made: Json, document: str, activity: str, reason: str, rows: Sequence[Written]) -> Json:
    # With the count of writes: to take back the same again, later, is another act.
    acts = sorted(f"{row.identity}:{row.revision}" for row in rows)
    identity = digest(document, _PROVENANCE, activity, *acts)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return _created(told(made, [row.place for row in rows], activity, reason, identity, now), identity)


def _created(provenance: Json, identity: str) -> Json:
    return {
        "fullUrl": full_url(identity),
        "resource": provenance,
        "request": {
            "method": "POST",
            "url": _PROVENANCE,
            "ifNoneExist": f"_tag={IDENTIFIER_SYSTEM}|{identity}",
        },
    }
