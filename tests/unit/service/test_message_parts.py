"""Messages that come in parts: each part is stored before it is acknowledged, and the whole is coded once."""

from __future__ import annotations

from itertools import count, permutations
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_coder.delivery.inbox import Inbox
from fhir_coder.ingest.hl7v2 import parse
from fhir_coder.service.receiver import Receiver, code_item


def part(number: int, body: str, *, continues: str = "", pointer: str = "", sender: str = "A") -> bytes:
    header = f"MSH|^~\\&|{sender}|B|C|D|2025||ORU^R01|M{number}|P|2.5||{continues}"
    return "\r".join((header, body, *((f"DSC|{pointer}|F",) if pointer else ()))).encode() + b"\r"


PARTS = (
    part(1, "PID|1||844^^^RIVER\rOBR|1||F1|1^CT\rOBX|1|TX|||First", pointer="P1"),
    part(2, "ADD| and\rOBX|2|TX|||second", continues="P1", pointer="P2"),
    part(3, "OBX|3|TX|||third HTN", continues="P2"),
)
MARKS = count(1000)
TEXT = "CT\nFirst and\nsecond\nthird HTN"


def answer(service: Any, raw: bytes) -> tuple[str, str]:
    found = parse(service.receiver.receive(raw))
    return found.value("MSA", 1), found.value("MSA", 2)


def texts(service: Any) -> list[str]:
    while (item := service.inbox.take()) is not None:
        service.inbox.coded(item, code_item(item, service.desk))
    return [text for text, _ in service.coder.calls]


def waiting(service: Any) -> float:
    lines = service.desk.metrics.exposition().decode().splitlines()
    return float(next(line for line in lines if line.startswith("fhir_coder_hl7v2_parts ")).split()[1])


@pytest.fixture
def service(serve: Any, tmp_path: Any) -> Any:
    return serve(out=tmp_path / "out")


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_whole_is_stored_with_the_last_part_to_come(service: Any, order: tuple[int, ...]) -> None:
    for before, number in enumerate(order):
        assert waiting(service) == before
        assert service.inbox.counts()["waiting"] == 0
        assert answer(service, PARTS[number]) == ("AA", f"M{number + 1}")
    assert waiting(service) == 0
    assert texts(service) == [TEXT]


def test_parts_that_come_again_are_answered_again_and_coded_once(service: Any) -> None:
    for raw in (*PARTS[:2], PARTS[0], *PARTS[1:], *PARTS):
        assert answer(service, raw)[0] == "AA"
    assert texts(service) == [TEXT]
    assert waiting(service) == 0


def test_what_waits_survives_a_restart(service: Any) -> None:
    for raw in PARTS[:2]:
        service.receiver.receive(raw)
    inbox = Inbox(service.inbox.queue.engine)
    again = Receiver(inbox, lambda: None, service.desk.settings, service.desk.metrics)
    assert waiting(service) == 2
    assert again.receive(PARTS[2])
    inbox.close()
    assert texts(service) == [TEXT]


def test_pointers_are_a_sender_s_own_and_may_be_used_again(service: Any) -> None:
    other = [
        part(1, "PID|1||9^^^RIVER\rOBR|1||F9|1^MR\rOBX|1|TX|||Other", pointer="P1", sender="Z"),
        part(2, "OBX|2|TX|||message", continues="P1", sender="Z"),
    ]
    later = [
        part(11, "PID|1||7^^^RIVER\rOBR|1||F7|1^XR\rOBX|1|TX|||Later", pointer="P1"),
        part(12, "OBX|2|TX|||one", continues="P1"),
    ]
    for raw in (PARTS[0], other[0], PARTS[1], other[1], PARTS[2], *later):
        assert answer(service, raw)[0] == "AA"
    assert sorted(texts(service)) == sorted([TEXT, "MR\nOther\nmessage", "XR\nLater\none"])


def test_a_message_that_is_refused_as_a_whole_is_refused_with_its_last_part(service: Any) -> None:
    nobody = part(1, "OBR|1||F1|1^CT\rOBX|1|TX|||First", pointer="P1")
    assert answer(service, nobody) == ("AA", "M1")
    error = parse(service.receiver.receive(part(2, "OBX|2|TX|||HTN", continues="P1")))
    assert (error.value("MSA", 1), error.value("MSA", 2), error.value("ERR", 2)) == ("AE", "M2", "PID")
    assert waiting(service) == 1  # what was acknowledged is kept
    assert answer(service, part(3, "PID|1||7^^^RIVER\rOBX|2|TX|||HTN", continues="P1")) == ("AA", "M3")
    assert texts(service) == ["CT\nFirst\nHTN"]


@pytest.mark.parametrize(
    "raw", [PARTS[0].replace(b"ORU^R01", b"SIU^S12"), PARTS[0].replace(b"|M1|", b"||"), b"MSH|" + PARTS[0]]
)
def test_a_part_that_cannot_be_read_is_refused_at_once(service: Any, raw: bytes) -> None:
    assert answer(service, raw)[0] in ("AR", "AE")
    assert waiting(service) == 0


def test_parts_that_point_at_each_other(service: Any) -> None:
    assert answer(service, part(1, "PID|1||7", continues="P2", pointer="P1"))[0] == "AA"
    assert answer(service, part(2, "OBX|1|TX|||x", continues="P1", pointer="P2"))[0] == "AR"
    assert answer(service, part(3, "PID|1||7", continues="P9", pointer="P9"))[0] == "AR"


def test_together_they_are_no_longer_than_one_message_may_be(serve: Any, tmp_path: Any) -> None:
    service = serve(out=tmp_path / "out", max_body_bytes=300)
    for number in range(1, 3):
        raw = part(number, "OBX|1|TX|||" + "x" * 60, continues=f"P{number - 1}", pointer=f"P{number}")
        assert answer(service, raw)[0] == "AA"
    assert answer(service, part(3, "OBX|1|TX|||" + "x" * 60, continues="P2"))[0] == "AR"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=6), st.randoms())
def test_any_cut_in_any_order(service: Any, words: list[str], random: Any) -> None:
    """Each example has pointers of its own: they share a database."""
    mark = next(MARKS)
    body = [f"OBX|{number}|TX|||{word}" for number, word in enumerate(words, start=1)]
    body[0] = f"PID|1||{mark}^^^RIVER\rOBR|1||F{mark}|1^CT\r{body[0]}"
    parts = [
        part(
            number,
            each,
            continues=f"{mark}-{number - 1}" if number else "",
            pointer=f"{mark}-{number}" if number + 1 < len(body) else "",
        )
        for number, each in enumerate(body)
    ]
    random.shuffle(parts)
    service.coder.calls.clear()
    for raw in parts:
        assert answer(service, raw)[0] == "AA"
    assert texts(service) == ["\n".join(("CT", *words))]
