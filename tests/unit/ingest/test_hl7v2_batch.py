"""Files of messages: frames, batches, parts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.errors import InputError
from fhir_coder.ingest.hl7v2 import parse
from fhir_coder.ingest.hl7v2_batch import split_messages
from fhir_coder.ingest.hl7v2_intake import intakes_from_hl7v2
from fhir_coder.settings import Settings

HEADER = r"MSH|^~\&|A|B|C|D|20250101||MDM^T02|1|P|2.5"
ONE, TWO = HEADER + "\rPID|1||7", HEADER + "\rPID|2||7"


@pytest.mark.parametrize(
    "raw",
    [
        f"FHS|^~\\&|x\rBHS|^~\\&\r{ONE}\r{TWO}\rBTS|2\rFTS|1\r",
        f"FHS|^~\\&|x\nBHS|^~\\&\n{ONE}\n{TWO}\nBTS\nFTS",
        f"BHS|^~\\&\r{ONE}\rBTS|1\rBHS|^~\\&\r{TWO}\rBTS|1\r",
        f"\x0b{ONE}\x1c\r\x0b{TWO}\x1c\r",
        f"{ONE}\n\n{TWO}\n",
        f"\ufeff{ONE}\r\n{TWO}\r\n",
    ],
)
def test_messages_of_a_file_are_split(raw: str) -> None:
    messages = [parse(message) for message in split_messages(raw.encode())]
    assert [message.value("PID", 1) for message in messages] == ["1", "2"]
    assert all(len(message.segments) == 2 for message in messages)


def test_rubbish_before_the_first_message_does_not_vanish() -> None:
    messages = split_messages(f"hello\r{HEADER}\r".encode())
    assert len(messages) == 2
    with pytest.raises(InputError):
        parse(messages[0])


def test_an_empty_batch_holds_no_message() -> None:
    assert split_messages(b"FHS|^~\\&\rBHS|^~\\&\rBTS|0\rFTS|1\r") == []


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (f"BHS|^~\\&\r{ONE}\r{TWO}\rBTS|2\r", None),
        (f"BHS|^~\\&\r{ONE}\r{TWO}\rBTS\r", None),
        (f"BHS|^~\\&\r{ONE}\r{TWO}\rBTS||a comment\r", None),
        (f"{ONE}\r{TWO}\r", None),
        (f"BHS|^~\\&\r{ONE}\r{TWO}\rBTS|3\r", "BTS-1"),
        (f"BHS|^~\\&\r{ONE}\r{TWO}\rBTS|1\r", "BTS-1"),
        (f"FHS|^~\\&\nBHS|^~\\&\n{ONE}\n{TWO}", None),
        (f"BHS|^~\\&\r{ONE}\rBTS|1\rBHS|^~\\&\r{TWO}\rBTS|1\r", None),
    ],
)
def test_a_batch_that_miscounts_is_told_and_what_is_there_is_read(raw: str, place: str | None) -> None:
    intakes = list(intakes_from_hl7v2(raw.encode(), "x", Settings()))
    assert [intake.error.place for intake in intakes if intake.error] == [
        each for each in (place, "TXA", "TXA") if each
    ]


def test_parts_of_a_message_are_joined() -> None:
    first = f"{HEADER}\rOBX|1|TX|||one te\rADD|\rDSC|p1|F\r"
    middle = f"{HEADER}||p1\rADD|xt\rDSC|p2|F\r"
    last = f"{HEADER}||p2\rADD| only\rOBX|2|TX|||two\r"
    whole, other = split_messages((first + middle + TWO + "\r" + last).encode())
    message = parse(whole)
    assert [message.at(segment, 5) for segment in message.all("OBX")] == ["one text only", "two"]
    assert parse(other).value("PID", 1) == "2"


def test_a_part_without_the_rest_stays_one() -> None:
    (part,) = split_messages(f"{HEADER}\rOBX|1|TX|||x\rDSC|p1|F\r".encode())
    assert parse(part).value("DSC", 1) == "p1"


@given(
    st.lists(st.sampled_from(["MSH|", "^~\\&", "\r", "DSC|a\r", "|a", "BTS", "FHS|\r", "\n", "\x0b", "x"])).map("".join)
)
def test_nothing_but_envelopes_is_lost(raw: str) -> None:
    split_messages(raw.encode())
