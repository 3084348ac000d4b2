"""The desk: what happens to a note when a place to deliver to fails."""

from pathlib import Path
from typing import Any

import pytest

from fhir_coder.delivery.ndjson import NdjsonWriter
from fhir_coder.errors import DeliveryError, TransientDeliveryError
from fhir_coder.model import Note

NOTE = Note(text="HTN", subject="Patient/7")


def test_a_full_disk_is_tried_again_and_loses_nothing(
    serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = serve(out=tmp_path / "out", delivery_timeout=0.2).desk
    bundle = desk.bundle(desk.code(NOTE))
    append = NdjsonWriter._append

    def full(*_: object) -> None:
        raise DeliveryError("cannot be written") from OSError("disk full")

    monkeypatch.setattr(NdjsonWriter, "_append", full)
    with pytest.raises(TransientDeliveryError, match="stored and will be delivered"):
        desk.deliver(NOTE, bundle)
    monkeypatch.setattr(NdjsonWriter, "_append", append)
    assert desk.outbox.wait_for(1, 10).state == "sent"
    desk.close()
    assert (tmp_path / "out" / "Condition.ndjson").read_text().count("\n") == 1


def test_a_damaged_file_is_a_lasting_fault(serve: Any, tmp_path: Path) -> None:
    desk = serve(out=tmp_path / "out").desk
    (tmp_path / "out" / "Condition.ndjson").write_text("damaged\n")
    with pytest.raises(DeliveryError, match="no FHIR resource") as caught:
        desk.deliver(NOTE, desk.bundle(desk.code(NOTE)))
    assert not isinstance(caught.value, TransientDeliveryError)
    assert desk.outbox.counts()["failed"] == 1
    desk.close()
