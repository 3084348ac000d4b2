"""Delivers what a note gave, and takes back what no longer holds: to the FHIR server, into the folder, or to both.

The ledger (`written`) knows what stands, `revision` says what has to change, and every change of a resource names the
version that it was made from. What somebody else has confirmed, corrected or deleted meanwhile is theirs: it is kept,
and the caller is told so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine

from fhir_coder.delivery import reconcile
from fhir_coder.delivery.audit import Changes, audits_of_delivery, patient_in
from fhir_coder.delivery.client import FhirClient, Sent
from fhir_coder.delivery.dispatch import Dispatch
from fhir_coder.delivery.document_delivery import DocumentDelivery, Target, kind_of
from fhir_coder.delivery.effect import Effect
from fhir_coder.delivery.entries import PROVENANCE, created, is_update, superseded, transaction, underived
from fhir_coder.delivery.outbox import Outbox
from fhir_coder.delivery.revision import status_steps, told, with_status
from fhir_coder.delivery.targets import FolderTarget, ServerTarget
from fhir_coder.delivery.written import Ledger
from fhir_coder.errors import DeliveryError
from fhir_coder.fhir.identity import digest
from fhir_coder.settings import Settings

Json = Mapping[str, Any]


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
        self._outbox = Outbox(engine) if settings.audit == "fhir" else None  # for the AuditEvents of what is done
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
        if dispatch.audit_of is not None:
            self._send_audit(dispatch)
            return ()
        return tuple(effect for target in self._targets for effect in self._deliver(target, dispatch))

    def close(self) -> None:
        """Write files through to the disk and close the connections."""
        for target in self._targets:
            target.close()

    @property
    def places(self) -> list[str]:
        """The places that are delivered to, as the ledger and AuditEvents name them."""
        return [target.name for target in self._targets]

    @property
    def is_audited(self) -> bool:
        """Whether AuditEvents of what is delivered are put into the outbox."""
        return self._outbox is not None

    def _send_audit(self, dispatch: Dispatch) -> None:
        target = next((each for each in self._targets if each.name == dispatch.audit_of), None)
        if target is None:
            raise DeliveryError("an AuditEvent of another FHIR server or folder than those of the settings")
        target.send(dispatch.bundle)

    def _deliver(self, target: Target, dispatch: Dispatch) -> list[Effect]:
        entries: Sequence[Json] = dispatch.bundle.get("entry", [])
        if dispatch.document is None:
            if entries:
                self._audit(target, dispatch.act, _of_records(entries, target.send(transaction(entries), dispatch.act)))
            return []
        if dispatch.status_alone is not None:
            return self._change_status(target, dispatch, dispatch.document, dispatch.status_alone)
        entries, said = self._admitted(target, dispatch, entries)
        adds_evidence = self._enrich != "off" and not dispatch.waits
        delivery = DocumentDelivery(
            self._ledger, target, dispatch, entries, adds_evidence=adds_evidence, audited=self._outbox is not None
        )
        effects = said + delivery.carry_out()
        kept = {"bundle": dispatch.bundle, "retracts": dispatch.retracts, "names": dispatch.names}
        self._ledger.wait(target.name, dispatch.document, kept if dispatch.waits else None)
        if self._lookup is not None and isinstance(target, ServerTarget):
            coded = _code_chart(target.client, entries, self._lookup)
            updated = tuple(each.place for each in coded)
            self._audit(target, dispatch.act, Changes(updated=updated, patient=_patient_of(target, entries, coded)))
            effects += coded
        return effects

    def _audit(self, target: Target, act: str, changes: Changes) -> None:
        """Put the AuditEvents of what has no place in the ledger into the outbox."""
        audits = audits_of_delivery(target.name, act, changes) if self._outbox is not None else []
        if self._outbox is not None and audits:
            self._outbox.store(audits)

    def _change_status(self, target: Target, dispatch: Dispatch, document: str, status: str) -> list[Effect]:
        """Give what a document gave, or has waiting, its new docStatus."""
        waiting = self._ledger.waiting(target.name, document)
        if waiting is not None and status != "preliminary":
            entries = waiting["bundle"].get("entry", ())
            entries = [{**entry, "resource": with_status(entry["resource"], status)} for entry in entries]
            final = Dispatch(
                bundle=transaction(entries),
                document=document,
                retracts=tuple(waiting["retracts"]),
                names=tuple(waiting["names"]),
                act=dispatch.act,
            )
            return self._deliver(target, final)
        steps = status_steps(self._ledger.rows(target.name, [document]), status)
        if not steps:
            reason = "the status is that of a document of which nothing is known, or it has that status already"
            return [Effect(target=kind_of(target), what="ignored", place="", reason=reason)]
        return DocumentDelivery(
            self._ledger,
            target,
            dispatch,
            [],
            adds_evidence=False,
            audited=self._outbox is not None,
            steps=steps,
        ).carry_out()

    def _admitted(
        self, target: Target, dispatch: Dispatch, entries: Sequence[Json]
    ) -> tuple[Sequence[Json], list[Effect]]:
        """The entries, without what was derived where that is not to be written, and why it is not."""
        assert dispatch.document is not None  # noqa: S101 - told to the type checker: the caller has looked
        known_by = (dispatch.document, *dispatch.names)
        replaced_by = self._ledger.replaced_by(target.name, known_by) - {dispatch.document, *dispatch.retracts}
        if replaced_by:
            reason = "the document was replaced by another one before; what it says is not written"
            return superseded(entries), [Effect(target=kind_of(target), what="ignored", place="", reason=reason)]
        if dispatch.waits:
            reason = "the document is preliminary; what it says is written when it is final (setting preliminary)"
            return underived(entries), [Effect(target=kind_of(target), what="waiting", place="", reason=reason)]
        repeated = self._ledger.documents(target.name, dispatch.repeats)
        if any(row.state == "standing" for row in self._ledger.rows(target.name, repeated)):
            reason = "the document holds another one in another form (transforms, signs); its facts are written already"
            return underived(entries), [Effect(target=kind_of(target), what="ignored", place="", reason=reason)]
        return entries, []


def _of_records(entries: Sequence[Json], answers: Sequence[Sent]) -> Changes:
    """What a message's records created and updated; the patient is their own Patient, where they name no other."""
    sent = list(zip(entries, answers, strict=True))
    places = {str(entry.get("fullUrl")): answer.place for entry, answer in sent}
    patients = [answer.place for _, answer in sent if answer.place.startswith("Patient/")]
    return Changes(
        created=tuple(answer.place for entry, answer in sent if answer.created or _may_be_new(entry, answer)),
        updated=tuple(answer.place for entry, answer in sent if is_update(entry) and not answer.created),
        patient=patient_in([entry["resource"] for entry in entries], places) or next(iter(patients), None),
    )


def _may_be_new(entry: Json, answer: Sent) -> bool:
    return answer.created is None and not is_update(entry)


def _patient_of(target: ServerTarget, entries: Sequence[Json], coded: Sequence[Effect]) -> str | None:
    return reconcile.patient_of(target.client, entries) if coded else None


def _code_chart(client: FhirClient, entries: Sequence[Json], lookup: reconcile.Lookup) -> list[Effect]:
    """Give codes to entries of the patient's chart that have words only."""
    made = next((each["resource"] for each in entries if each["resource"]["resourceType"] == PROVENANCE), None)
    patient = reconcile.patient_of(client, entries) if made is not None else None
    if made is None or patient is None:
        return []

    def provenance_of(place: str) -> Json:
        identity = digest(place, PROVENANCE, "codes")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        resource = {
            **told(made, [place], "UPDATE", "Codes added to its words by software", identity, now),
            "entity": [{"role": "revision", "what": {"reference": place}}],
        }
        return created(resource, identity)

    places = reconcile.code_texts(client, patient, lookup, provenance_of)
    reason = "it had words only, and now has the codes that they name"
    return [Effect(target="server", what="coded", place=place, reason=reason) for place in places]
