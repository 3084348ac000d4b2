"""The HL7 v2 splitter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.errors import InputError, UnsupportedError
from fhir_coder.ingest.hl7v2 import Message, Segment, message_key, parse
from fhir_coder.ingest.hl7v2_batch import split_messages
from fhir_coder.ingest.hl7v2_escape import Delimiters, escape

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


def test_a_bare_line_end_within_text_is_kept() -> None:
    message = parse(f"{HEADER}\rOBX|1|TX|||line one\nline two\rTXA|1".encode())
    obx = message.first("OBX")
    assert obx is not None
    assert message.text(obx.fields[4]) == "line one\nline two"
    assert message.first("TXA") is not None


@pytest.mark.parametrize(
    ("name", "codec", "text"),
    [
        ("8859/1", "latin-1", "Fuß"),
        ("8859/2", "iso8859-2", "Ból głowy"),
        ("8859/5", "iso8859-5", "Боль"),
        ("8859/15", "iso8859-15", "5 €"),
        ("UNICODE UTF-8", "utf-8", "Fuß"),
        ("unicode utf-8", "utf-8", "Fuß"),
        ("", "utf-8", "Fuß"),
        ("ISO IR100", "latin-1", "Fuß"),
        ("GB 18030-2000", "gb18030", "头痛"),
        ("BIG-5", "big5", "頭痛"),
        ("KS X 1001", "euc-kr", "두통"),
        ("~ISO IR87", "iso2022_jp_ext", "頭痛"),
        ("ASCII~ISO IR87", "iso2022_jp_ext", "頭痛"),
        ("WINDOWS-1252", "cp1252", "5 €"),
    ],
)
def test_the_character_set_of_msh_18(name: str, codec: str, text: str) -> None:
    message = parse(f"{HEADER}||||||{name}\rOBX|1|TX|||{text}".encode(codec))
    assert message.value("OBX", 5) == text


def test_the_default_character_set_is_for_messages_that_state_none() -> None:
    body = "\rOBX|1|TX|||Fuß".encode("latin-1")
    assert parse(HEADER.encode() + body, "8859/1").value("OBX", 5) == "Fuß"
    with pytest.raises(InputError, match="state the charset"):
        parse(HEADER.encode() + body)
    with pytest.raises(InputError):
        parse(HEADER.encode() + b"||||||UNICODE UTF-8" + body, "8859/1")


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["", "UNICODE UTF-16"])
def test_utf_16_is_told_by_its_bytes(codec: str, name: str) -> None:
    message = parse(f"{HEADER}||||||{name}\rOBX|1|TX|||Fuß".encode(codec))
    assert message.value("OBX", 5) == "Fuß"


def test_an_addendum_continues_the_field_before() -> None:
    message = parse(f"{HEADER}\rOBX|1|TX|||the te\rADD|xt goes\rADD| on||||||F\rTXA|1".encode())
    assert [segment.name for segment in message.segments] == ["MSH", "OBX", "TXA"]
    assert (message.value("OBX", 5), message.value("OBX", 11)) == ("the text goes on", "F")


@pytest.mark.parametrize("end", range(len(HEADER)))
def test_a_header_that_is_cut_off_is_read_or_refused(end: int) -> None:
    place = ""
    try:
        parse(HEADER[:end].encode())
    except InputError as error:
        place = error.place
    assert place in ("", "MSH", "MSH-1", "MSH-2")


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
    assert [(each.name, each.fields) for each in again.segments] == [
        (each.name, each.fields) for each in message.segments
    ]
    assert [tuple(map(again.text, segment.fields)) for segment in again.segments[1:]] == [
        segment.fields for segment in segments
    ]


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
