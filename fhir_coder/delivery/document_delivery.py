"""One document delivered to one target: what stands is read, what has to change is sent, and the ledger is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Connection

from fhir_coder.delivery import reconcile
from fhir_coder.delivery.audit import Changes, audits_of_delivery, patient_in
from fhir_coder.delivery.client import Sent, VersionConflictError, resolved
from fhir_coder.delivery.dispatch import Dispatch
from fhir_coder.delivery.effect import Effect, What
from fhir_coder.delivery.entries import DOCUMENT, PROVENANCE, created, is_of_document, is_update, transaction
from fhir_coder.delivery.outbox import add_dispatches
from fhir_coder.delivery.revision import Decision, Step, content, decide, revise, taken_back, told
from fhir_coder.delivery.targets import FolderTarget, ServerTarget
from fhir_coder.delivery.written import Ledger, Written
from fhir_coder.fhir.checks import check
from fhir_coder.fhir.identity import digest

Json = Mapping[str, Any]
Target = ServerTarget | FolderTarget

_ATTEMPTS = 4  # to make a change before somebody else makes another one
_EVIDENCE = {
    False: "The source document was added as evidence",
    True: "The source document is no evidence of it any more",
}
_CHANGES = ("update", "reinstate", "adopt", "evidence", "retract", "supersede")


class DocumentDelivery:
    """One delivery to one target."""

    def __init__(
        self,
        ledger: Ledger,
        target: Target,
        dispatch: Dispatch,
        entries: Sequence[Json],
        *,
        adds_evidence: bool,
        audited: bool = False,
        steps: list[Step] | None = None,
    ) -> None:
        """`audited`: AuditEvents of what is done are put into the outbox, in the transaction of the ledger."""
        assert dispatch.document is not None  # noqa: S101 - told to the type checker: the caller has looked
        self._ledger = ledger
        self._audited = audited
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
            if entry["resource"]["resourceType"] == PROVENANCE:
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
        # The Bundle was checked when it was made; theirs need not keep our rules.
        ours = [entry for entry in entries if entry["fullUrl"] not in theirs]
        if ours and any(each.step.act in _CHANGES for each in decisions):
            check(transaction(ours))
        return entries

    def _told(self, decisions: Sequence[Decision]) -> list[Json]:
        """The Provenances of what is changed and taken back: one for each document, activity and reason."""
        groups: dict[tuple[str, str, str], list[Written]] = {}
        for each in decisions:
            row = each.step.row
            if row is None or row.type == DOCUMENT or each.kept or row.type == PROVENANCE:
                continue
            if row.state == "evidence":
                if each.step.act != "settled" and each.state == "evidence":
                    groups.setdefault((row.document, "UPDATE", _EVIDENCE[each.step.entry is None]), []).append(row)
            elif each.step.act == "retract":
                groups.setdefault((row.document, "NULLIFY", each.step.reason), []).append(row)
            elif each.step.act in ("update", "reinstate") and (each.entry is None or is_update(each.entry)):
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
        return next((each for each in (*resources, *rows) if each["resourceType"] == PROVENANCE), None)

    def _send(self, entries: Sequence[Json]) -> dict[str, tuple[Json, Sent]]:
        """Send the entries, and return by full URL what was sent and where it stands."""
        if not entries:
            return {}
        answers = self._target.send(transaction(entries), self._dispatch.act)
        return {str(entry["fullUrl"]): (entry, sent) for entry, sent in zip(entries, answers, strict=True)}

    def _record(self, decisions: Sequence[Decision], sent: Mapping[str, tuple[Json, Sent]]) -> None:
        places = {url: answer.place for url, (_, answer) in sent.items()}
        rows = [row for each in decisions if (row := self._row(each, sent, places)) is not None]
        own = {entry["fullUrl"] for entry in self._entries}
        rows += [
            _new_row(self._document, url, entry, answer, entry["resource"], places)
            for url, (entry, answer) in sent.items()
            if url not in own and entry["resource"]["resourceType"] == PROVENANCE
        ]
        audits = []
        if self._audited:
            audits = audits_of_delivery(self._target.name, self._dispatch.act, self._changes(decisions, sent))
        replaces = [] if self._withdrawn or self._dispatch.waits else self._dispatch.retracts
        over = [each.step.row.identity for each in decisions if each.step.row and _is_over(each.step, each.step.row)]
        self._ledger.record(
            self._target.name,
            self._document,
            rows,
            forgotten=over,
            names=None if self._dispatch.status_alone else self._dispatch.names,
            replaces=replaces,
            stands=not self._withdrawn,
            also=(lambda connection: _put_audits(connection, audits)) if audits else None,
        )

    def _changes(self, decisions: Sequence[Decision], sent: Mapping[str, tuple[Json, Sent]]) -> Changes:
        """What was created and updated, for the AuditEvents.

        What an earlier attempt wrote before it was cut off counts: of that one, nobody has told. So what is new to the
        ledger is taken to be created, though the server may have met it.
        """
        places = {row.identity: row.place for row in self._own}
        places |= {url: answer.place for url, (_, answer) in sent.items()}
        acts = {str(each.step.entry["fullUrl"]): each.step.act for each in decisions if each.step.entry is not None}
        created, updated = [], []
        for url, (entry, answer) in sent.items():
            if answer.created or (is_of_document(entry) and not is_update(entry) and acts.get(url, "new") == "new"):
                created.append(answer.place)
            elif is_update(entry) and acts.get(url) != "same":
                updated.append(answer.place)
        updated += [
            each.step.row.place
            for each in decisions
            if each.step.row and each.step.act in _CHANGES and each.entry is None and not each.kept
        ]
        known = [row.resource for row in (*self._own, *self._replaced)]
        return Changes(
            created=tuple(created),
            updated=tuple(dict.fromkeys(updated)),
            patient=patient_in([*(each["resource"] for each in self._entries), *known], places),
            source=self._source(places),
        )

    def _source(self, places: Mapping[str, str]) -> str | None:
        """The place of the document, or None where it has none."""
        own = next((row.place for row in self._own if row.type == DOCUMENT), None)
        made = self._provenance_of(self._document) or {}
        stated = [each.get("what", {}).get("reference") for each in made.get("entity", ())]
        place = own or next((places.get(each, each) for each in stated if each), None)
        return None if place is None or place.startswith("urn:") else place

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
            if not is_of_document(entry if step.entry is None else step.entry):
                return None
            if step.act == "same" and row is not None and answer.place == row.place:
                return None
            made = _new_row(self._document, identity, entry, answer, said, places)
            # What is taken back stays with the document that gave it.
            document = row.document if step.entry is None and row else self._document
            revision = row.revision + 1 if row else 1
            return replace(made, document=document, revision=revision, state=decision.state)
        if row is None or (step.act == "settled" and row.identity == identity):
            return None
        if step.act == "settled":  # it is somebody else's, and the document that replaces the other one says it too
            return replace(row, identity=identity, document=self._document)
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
        return Effect(target=kind_of(self._target), what=what, place=step.row.place, reason=reason)


def _put_audits(connection: Connection, audits: Sequence[Dispatch]) -> None:
    add_dispatches(connection, audits, patient=None)


def kind_of(target: Target) -> Literal["server", "folder"]:
    """Return which kind of target it is."""
    return "server" if isinstance(target, ServerTarget) else "folder"


def _is_over(step: Step, row: Written) -> bool:
    """Whether a row of the ledger ends: another entry has taken it over, or nothing of it is ours any more."""
    if step.entry is None:
        return row.state == "evidence"
    return row.identity != str(step.entry["fullUrl"])


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
    identity = digest(document, PROVENANCE, activity, *acts)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return created(told(made, [row.place for row in rows], activity, reason, identity, now), identity)
