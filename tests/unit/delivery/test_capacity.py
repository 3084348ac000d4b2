"""The bound to what may wait: reached, told, and left again."""

from pathlib import Path

import pytest

from fhir_coder.delivery.capacity import Capacity
from fhir_coder.delivery.dispatch import Dispatch
from fhir_coder.delivery.inbox import Coded, Inbox
from fhir_coder.delivery.outbox import Outbox
from fhir_coder.errors import QueueFullError
from fhir_coder.settings import Settings


@pytest.mark.parametrize(
    ("setting", "value"), [("queue_max_items", 3), ("queue_max_bytes", 300), ("queue_min_free_bytes", 10**18)]
)
def test_at_the_bound_nothing_more_is_taken_in(
    inbox: Inbox, outbox: Outbox, tmp_path: Path, setting: str, value: int
) -> None:
    for number in range(2):
        inbox.store("hl7v2", b"x" * 100, str(number))
    outbox.store([Dispatch(bundle={"x": "x" * 100})])
    full = Capacity(Settings(data_dir=tmp_path, **{setting: value}), inbox, outbox)  # type: ignore[arg-type]
    assert full.is_full
    with pytest.raises(QueueFullError, match=setting):
        full.require_room()
    Capacity(Settings(data_dir=tmp_path, queue_min_free_bytes=0), inbox, outbox).require_room()


def test_it_looks_again_and_opens_when_some_is_done(inbox: Inbox, outbox: Outbox, tmp_path: Path) -> None:
    capacity = Capacity(Settings(data_dir=tmp_path, queue_max_items=2, queue_min_free_bytes=0), inbox, outbox)
    capacity.require_room()
    for number in range(2):
        inbox.store("hl7v2", b"x", str(number))
    capacity._step()
    assert capacity.is_full
    item = inbox.take()
    assert item is not None
    inbox.coded(item, Coded())
    capacity._step()
    assert not capacity.is_full
