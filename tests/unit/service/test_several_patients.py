"""Messages about several patients: each patient's share keeps that patient's order, and waits for nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_coder.delivery.inbox import Item, patient_key
from fhir_coder.ingest.hl7v2 import parse
from fhir_coder.ingest.hl7v2_content import patients_of_message
from fhir_coder.ingest.hl7v2_intake import look_at_raw
from fhir_coder.service.receiver import code_item
from fhir_coder.settings import Settings


def message(control: str, *patients: str, charset: str = "", words: str = "Pt has HTN.") -> str:
    head = f"MSH|^~\\&|A|B|C|D|2025||ORU^R01|{control}|P|2.5.1||||||{charset}"
    groups = [
        (f"PID|1||{patient}^^^RIVER", f"OBR|1||{control}{patient}|1^CT", f"OBX|1|TX|2^Impression||{words} {patient}")
        for patient in patients
    ]
    return "\r".join((head, *(line for group in groups for line in group))) + "\r"


def hashed(patient: str) -> str | None:
    (about,) = patients_of_message(parse(message("X", patient).encode()), Settings())
    return patient_key(about.patient)


@pytest.fixture
def service(serve: Any, tmp_path: Any) -> Any:
    return serve(out=tmp_path / "out")


def receive(service: Any, raw: str) -> None:
    assert parse(service.receiver.receive(raw.encode())).value("MSA", 1) == "AA"


def seen(service: Any, item: Item) -> str:
    """Code an item, and return what it says."""
    service.inbox.coded(item, code_item(item, service.desk))
    return str(service.coder.calls[-1][0]).splitlines()[-1]


def test_the_second_patient_keeps_the_order_too(service: Any) -> None:
    for raw in (message("M1", "7", "8"), message("M2", "8", words="Later."), message("M3", "9")):
        receive(service, raw)
    first, second, third = (service.inbox.take() for _ in range(3))
    assert service.inbox.take() is None  # M2 waits for what M1 says of its patient
    assert [item.row.values["patient"] for item in (first, second, third)] == [hashed("7"), hashed("8"), hashed("9")]
    assert (seen(service, third), seen(service, first)) == ("Pt has HTN. 9", "Pt has HTN. 7")
    assert service.inbox.take() is None
    assert seen(service, second) == "Pt has HTN. 8"
    assert seen(service, service.inbox.take()) == "Later. 8"
    assert service.inbox.take() is None


def test_what_cannot_be_coded_yet_of_one_patient_keeps_no_other_waiting(service: Any) -> None:
    receive(service, message("M1", "7", "8"))
    receive(service, message("M2", "7", words="Later."))
    first, second = service.inbox.take(), service.inbox.take()
    service.inbox.queue.put_back(first.row, "away", counts=False, after=3600)
    assert seen(service, second) == "Pt has HTN. 8"
    assert service.inbox.take() is None


def test_what_came_of_it_is_delivered_by_patient(service: Any) -> None:
    service.sender.stop(10)
    receive(service, message("M1", "7", "8"))
    for _ in range(2):
        item = service.inbox.take()
        service.inbox.coded(item, code_item(item, service.desk))
    taken = [service.outbox.take() for _ in range(2)]
    assert None not in taken  # neither waits for the other
    assert {each.row.values["patient"] for each in taken} == {hashed("7"), hashed("8")}


def test_a_message_that_comes_again_is_known(service: Any) -> None:
    for _ in range(2):
        receive(service, message("M1", "7", "8", "9"))
    assert service.inbox.counts()["waiting"] == 3


def test_one_patient_told_of_several_times_is_one_item(service: Any) -> None:
    receive(service, message("M1", "7", "7"))
    assert service.inbox.counts()["waiting"] == 1


@pytest.mark.parametrize(
    ("charset", "encoding", "words"),
    [
        ("", "utf-8", "Größe"),
        ("", "utf-8-sig", "Größe"),
        ("UNICODE UTF-8", "utf-8", "Größe €"),
        ("8859/1", "latin-1", "Größe"),
        ("UNICODE UTF-16", "utf-16", "Größe €"),
        ("~ISO IR87", "iso2022_jp", "高血圧"),
    ],
)
def test_the_shares_are_written_as_the_message_is(charset: str, encoding: str, words: str) -> None:
    raw = message("M1", "7", "8", charset=charset, words=words).encode(encoding)
    shares = look_at_raw(raw, Settings()).shares
    assert [parse(share.raw).value("OBX", 5) for share in shares] == [f"{words} 7", f"{words} 8"]


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_a_share_holds_nothing_of_the_others(end: str) -> None:
    raw = message("M1", "7", "8", "9").replace("\r", end).encode()
    for share, patient in zip(look_at_raw(raw, Settings()).shares, "789", strict=True):
        assert [other for other in "789" if f"HTN. {other}".encode() in share.raw] == [patient]


def test_a_message_of_which_nothing_comes_for_one_is_the_others_alone() -> None:
    raw = (message("M1", "7") + "PID|2||8^^^RIVER\r").encode()
    (share,) = look_at_raw(raw, Settings()).shares
    assert (share.raw, patient_key(share.patient)) == (raw, hashed("7"))


@pytest.mark.parametrize(
    "raw",
    [
        message("M1", *map(str, range(1, 1200))),  # too many
        message("M1", *map(str, range(1, 30))).replace("\rPID|", "\rNTE|1||" + "x" * 9000 + "\rPID|", 1),
    ],
    ids=["too many", "a long head"],
)
def test_a_message_that_would_become_too_much_stays_whole(raw: str) -> None:
    (share,) = look_at_raw(raw.encode(), Settings()).shares
    assert share.raw == raw.encode()
    assert patient_key(share.patient) == hashed("1")
