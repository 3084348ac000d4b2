"""A service with a coder that needs no models."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from fhir_coder.delivery.capacity import Capacity
from fhir_coder.delivery.database import open_database
from fhir_coder.delivery.gate import Gate
from fhir_coder.delivery.inbox import Inbox
from fhir_coder.delivery.outbox import Outbox
from fhir_coder.delivery.sending import Sending
from fhir_coder.delivery.worker import Worker
from fhir_coder.errors import InputError
from fhir_coder.model import Candidate, CodedNote, Entity, EntityType, Note
from fhir_coder.service.app import create_app
from fhir_coder.service.desk import Desk
from fhir_coder.service.receiver import Receiver
from fhir_coder.settings import Settings
from fhir_coder.terminology.store import ConceptStore

HTN = Candidate(
    system="http://hl7.org/fhir/sid/icd-10-cm",
    code="I10",
    display="Essential (primary) hypertension",
    version="2025",
    score=1.0,
    matched="HTN",
    stage="exact",
)


@dataclass
class TinyCoder:
    """Finds the word HTN."""

    store: ConceptStore = field(default_factory=lambda: ConceptStore([]))
    calls: list[tuple[str, float | None]] = field(default_factory=list)

    def __call__(self, note: Note, *, min_confidence: float | None = None) -> CodedNote:
        self.calls.append((note.text, min_confidence))
        if "CRASH" in note.text:
            raise RuntimeError(note.text)
        start = note.text.find("HTN")
        entity = Entity(text="HTN", start=start, end=start + 3, type=EntityType.DISEASE)
        return CodedNote(note=note, entities=(entity,) if start >= 0 else ())

    def lookup(self, system: str, text: str, top: int) -> tuple[Candidate, ...]:
        if system != "icd10cm":
            raise InputError("unknown code system: use icd10cm", place="system", code="code-invalid")
        return (replace(HTN, matched=text),) * top


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Any]:
    """A function that starts a service with the given settings, and with a concept store where one is given."""
    started: list[Any] = []

    def start(store: ConceptStore | None = None, **given: Any) -> Any:
        settings = Settings(data_dir=tmp_path / "data", **given)
        coder = TinyCoder(store or ConceptStore([]))
        engine = open_database(settings.data_dir)
        inbox, outbox = Inbox(engine), Outbox(engine)
        capacity = Capacity(settings, inbox, outbox)
        desk = Desk(coder, settings, outbox, capacity=capacity)  # type: ignore[arg-type]
        sender = Worker("sending", Sending(outbox, desk.send, Gate()).step, outbox.queue.bell)
        sender.start()
        receiver = Receiver(inbox, lambda: None, settings, desk.metrics, capacity)
        client = TestClient(create_app(desk, receiver, inbox, None), raise_server_exceptions=True)
        service = SimpleNamespace(
            client=client, coder=coder, desk=desk, inbox=inbox, outbox=outbox, receiver=receiver, sender=sender
        )
        started.append(service)
        return service

    yield start
    for service in started:
        service.client.close()
        service.sender.stop()
        service.desk.close()
        service.inbox.close()
        service.outbox.close()
        service.outbox.queue.engine.dispose()
