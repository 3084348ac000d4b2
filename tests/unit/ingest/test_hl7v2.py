"""The HL7 v2 splitter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.errors import InputError, UnsupportedError
from fhir_coder.ingest.hl7v2 import (
    Delimiters,
    Message,
    Segment,
    escape,
    message_key,
    parse,
    split_messages,
    unescape,
)

OURS = Delimiters()
HEADER = r"MSH|^~\&|A|B|C|D|20250101||MDM^T02|1|P|2.5"


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_any_line_end_and_mark(end: str, mark: bytes) -> None:
    message = parse(mark + end.join([HEADER, "PID|1||7^^^X~8", "OBX|1|TX|||a~b"]).encode() + end.encode())
    assert [segment.name for segment in message.segments] == ["MSH", "PID", "OBX"]
    assert message.repetitions(message.first("PID"), 3) == ("7^^^X", "8")
    assert message.value("MSH", 9, 2) == "T02"
    assert message.value("MSH", 1) == "|"


def test_delimiters_are_the_messages_own() -> None:
    message = parse(b"MSH$*!?%$A$B\rPID$1$$7*x%y!8$a?F?b")
    assert message.component(message.repetitions(message.first("PID"), 3)[0], 2, 2) == "y"
    assert message.value("PID", 4) == "a$b"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (r"a\F\b\S\c\T\d\R\e\E\f", "a|b^c&d~e\\f"),
        (r"one\.br\two\.sp2\three\.in+4\ four", "one\ntwo\nthree four"),
        (r"\X0D0A\x\X41\\X42\ y", "\r\nxAB y"),
        (r"caf\XC3\\XA9\ noir", "café noir"),
        (r"\XFF\ x", r"\XFF\ x"),
        (r"\H\bold\N\ x", "bold x"),
        (r"5 \ 6 and \Q\ x", r"5 \ 6 and \Q\ x"),
        ("no escapes", "no escapes"),
    ],
)
def test_escape_sequences(raw: str, text: str) -> None:
    assert unescape(raw, OURS, "utf-8") == text


def test_a_bare_line_end_within_text_is_kept() -> None:
    message = parse(f"{HEADER}\rOBX|1|TX|||line one\nline two\rTXA|1".encode())
    obx = message.first("OBX")
    assert obx is not None
    assert message.text(obx.fields[4]) == "line one\nline two"
    assert message.first("TXA") is not None


@pytest.mark.parametrize(("name", "codec"), [("8859/1", "latin-1"), ("UNICODE UTF-8", "utf-8"), ("", "utf-8")])
def test_the_character_set_of_msh_18(name: str, codec: str) -> None:
    message = parse(f"{HEADER}||||||{name}\rOBX|1|TX|||Fuß".encode(codec))
    assert message.value("OBX", 5) == "Fuß"


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (b"", "MSH"),
        (b"PID|1", "MSH"),
        (b"MSH", "MSH-1"),
        (b"MSHA^~\\&", "MSH-1"),
        (b"MSH|^^\\&|", "MSH-2"),
        (b"MSH|", "MSH-2"),
        (b"MSH|ABCD|", "MSH-2"),
        (HEADER.encode() + b"\rnot a segment", "segment 2"),
        (HEADER.encode() + b"\rOBX|1|TX|||Fu\xdf", "MSH-18"),
        (HEADER.encode() + b"||||||ASCII\rOBX|1|TX|||Fu\xc3\x9f", "MSH-18"),
    ],
)
def test_a_fault_is_named(raw: bytes, place: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(raw)
    assert caught.value.place == place


def test_an_unknown_character_set_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="UTF-8"):
        parse(HEADER.encode() + b"||||||KLINGON\r")


def test_messages_of_a_file_are_split() -> None:
    one, two = HEADER + "\rPID|1", HEADER + "\rPID|2"
    batch = f"FHS|^~\\&|x\rBHS|^~\\&\r{one}\r{two}\rBTS|2\rFTS|1\r"
    for raw in (batch, f"\x0b{one}\x1c\r\x0b{two}\x1c\r", f"{one}\n\n{two}\n"):
        messages = [parse(message) for message in split_messages(raw.encode())]
        assert [message.value("PID", 1) for message in messages] == ["1", "2"]


def test_rubbish_before_the_first_message_does_not_vanish() -> None:
    messages = split_messages(f"hello\r{HEADER}\r".encode())
    assert len(messages) == 2
    with pytest.raises(InputError):
        parse(messages[0])


def test_the_key_tells_messages_apart() -> None:
    first, other = HEADER.encode(), HEADER.replace("|1|P", "|2|P").encode()
    assert message_key(parse(first), first) == message_key(parse(first), first)
    assert message_key(parse(first), first) != message_key(parse(other), other)
    assert message_key(parse(first), first) != message_key(parse(first), first + b"\rPID|1")


FIELD = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
SEGMENTS = st.lists(
    st.builds(Segment, st.sampled_from(["PID", "OBX", "ZA1"]), st.lists(FIELD, min_size=1).map(tuple)), max_size=4
)


@given(SEGMENTS)
def test_a_message_survives_the_round_trip(segments: list[Segment]) -> None:
    escaped = tuple(
        Segment(segment.name, tuple(escape(field, OURS) for field in segment.fields)) for segment in segments
    )
    message = Message(OURS, "utf-8", (Segment("MSH", ("|", "^~\\&")), *escaped))
    again = parse(message.er7().encode())
    assert again == message
    assert [tuple(map(again.text, segment.fields)) for segment in again.segments[1:]] == [
        segment.fields for segment in segments
    ]


@given(st.text(st.characters(exclude_characters="\r"), max_size=60))
def test_escaping_is_undone(text: str) -> None:
    assert unescape(escape(text, OURS), OURS, "utf-8") == text


@given(
    st.binary(max_size=200)
    | st.binary(max_size=200).map(lambda tail: b"MSH|^~\\&|" + tail)
    | st.lists(st.sampled_from([b"MSH", b"|", b"^", b"\\", b"X41", b"\r", b"\n", b"OBX", b"\x0b", b"\xff"])).map(
        b"".join
    )
)
def test_nothing_but_input_errors_whatever_the_bytes(raw: bytes) -> None:
    places = []
    for piece in [raw, *split_messages(raw)]:
        try:
            message = parse(piece)
        except InputError as error:
            places.append(error.place)
        else:
            for segment in message.segments:
                for field in segment.fields:
                    message.component(field, 2, 2)
    assert all(places)
