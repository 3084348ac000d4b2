"""What is looked at before a message is acknowledged decides as the full reading does, on every message.

The messages are those of tests/golden/hl7v2, some of every form in which text comes, those of the reference data where
it is there (FHIR_CODER_REFERENCES, else ../shared/data), and all of them with faults.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_coder.errors import InputError
from fhir_coder.ingest.acknowledgement import acknowledge
from fhir_coder.ingest.hl7v2_batch import split_messages
from fhir_coder.ingest.hl7v2_content import Content
from fhir_coder.ingest.hl7v2_intake import Share, look_at_raw, read_raw
from fhir_coder.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("FHIR_CODER_REFERENCES", REPOSITORY.parent / "shared" / "data")) / "hl7v2"
MSH = r"MSH|^~\&|APP|HOSP|US|HERE|20250422||{}|M1|P|2.5.1"
WRITTEN = tuple(
    "\r".join((MSH.format(kind), *segments)).encode()
    for kind, *segments in (
        ("MDM^T02", "PID|1||8^^^R", "TXA|1|PR|||||||||||D9", "OBX|1|TX|||A \\T\\ B\\.br\\\\X4142\\"),
        ("MDM^T02", "PID|1||8^^^R", "TXA|1|PR|||||||||||D9", "OBX|1|ED|||^TEXT^PLAIN^Base64^SFRO"),
        ("MDM^T02", "PID|1||8^^^R", "TXA|1|PR|||||||||||D9", "OBX|1|ED|||^TEXT^PLAIN^Hex^48544E"),
        ("MDM^T02", "PID|1||8^^^R", "TXA|1|PR|||||||||||D9", "OBX|1|RP|||http://127.0.0.1:1/a^^TEXT^HTML"),
        ("MDM^T03", "PID|1||8^^^R", "TXA|1|PR|||||||||||D9|||||AU"),
        ("MDM^T10", "PID|1||8^^^R", "TXA|1|PR|||||||||||D9|D8", "OBX|1|TX|||HTN", "NTE|1||and more"),
        ("MDM^T11", "PID|1||8^^^R", "TXA|1|PR|||||||||||D9"),
        ("ORU^R01", "PID|1||8^^^R", "OBR|1||F1|1^CT", "OBX|1|NM|3^K||4.9|mmol/L", "OBR|2||F1|1^CT", "OBX|1|TX|||x"),
        ("ORU^R01", "PID|1||8^^^R", "OBR|1||F1|1^CT|||||||||||||||||||||X"),
        ("ORU^R01", "PID|1||8^^^R", "OBX|1|TX|||x", "PID|2||9^^^R", "OBX|1|CWE|||I10^HTN^I10C"),
        ("ADT^A01", "EVN|A01", "PID|1||8^^^R", "PV1|1|I|||||||||||||||||V7", "DG1|1||I10^HTN^I10C", "OBX|1|XX|||x"),
        ("ADT^A40", "PID|1||8^^^R", "MRG|9^^^R"),
        ("REF^I12", "RF1|1", "PID|1||8^^^R", "DG1|1||I10^HTN^I10C", "OBX|1|ED|||^TEXT^PLAIN^Base64^?"),
        ("ORM^O01", "PID|1||8^^^R", "ORC|NW|1", "OBR|1|1||1^CT|||||||||fell", "NTE|1||on aspirin"),
    )
)
# Of a sender who does not name itself, no number without an authority of its own is taken.
NAMELESS = tuple(raw.replace(b"|APP|HOSP|", b"|||", 1) for raw in WRITTEN)
GOLDEN = tuple(
    message
    for path in sorted((REPOSITORY / "tests" / "golden" / "hl7v2").glob("*.hl7"))
    for message in split_messages(path.read_bytes())
)
SETTINGS = (
    Settings(),
    Settings(hl7v2_adt="create", max_note_chars=40),
    Settings(hl7v2_adt="update", hl7v2_validation="refuse"),
)
# What takes the place of a field, or stands in the middle of a segment.
FAULTS = (
    b"",
    b'""',
    b"x",
    b"\\",
    b"\\XFF\\",
    b"\\XC3\\\\XA9\\",
    b"\\.sp9\\",
    b"^^^",
    b"~",
    b"&",
    b"|",
    b"\xff",
    b"\x00",
    b" ",
)
KINDS = (b"ORU^R01", b"ADT^A08", b"ADT^A40", b"MDM^T02", b"MDM^T03", b"MDM^T11", b"REF^I12", b"ORM^O01", b"ZZZ^Z01")
CHARSETS = (b"", b"8859/1", b"ASCII", b"UNICODE UTF-16", b"BIG-5", b"8859/15~ISO IR87")


def refusal(read: Callable[[], object]) -> InputError | None:
    try:
        read()
    except InputError as error:
        return error
    return None


def told(raw: bytes, error: InputError | None) -> object:
    """Return all that a sender hears, but for what the acknowledgement has of its own: its time and number."""
    answer = acknowledge(raw, error)
    segments = answer.split(b"\r")[1:] if answer else None
    return error and (type(error), str(error), error.place, error.code), segments


def patient_of(content: Content) -> str | None:
    """Return the patient of the first note, else of the first record."""
    if content.notes:
        return content.notes[0].subject
    kinds = ((entry["fullUrl"], entry["resource"]["resourceType"]) for entry in content.records)
    return next((url for url, kind in kinds if kind == "Patient"), None)


def require_same_content(shares: Sequence[Share], raw: bytes, given: Settings) -> None:
    """Compare what is in the shares of a message with what is in the message."""
    whole = read_raw(raw, given)[1]
    if len(shares) == 1:
        assert (shares[0].raw, shares[0].patient) == (raw, patient_of(whole))
        return
    read = [read_raw(share.raw, given)[1] for share in shares]
    assert [share.patient for share in shares] == [patient_of(each) for each in read]
    assert [record for each in read for record in each.records] == list(whole.records)
    told_of = [(note.id, note.document, note.subject, note.text) for note in whole.notes]
    assert [(note.id, note.document, note.subject, note.text) for each in read for note in each.notes] == told_of


def require_same(raw: bytes, given: Settings) -> str:
    """Compare the two ways of reading, and return where the fault is, "" when there is none."""
    full = refusal(lambda: read_raw(raw, given))
    looked = refusal(lambda: look_at_raw(raw, given))
    assert told(raw, looked) == told(raw, full)
    if looked is None and full is None:
        require_same_content(look_at_raw(raw, given).shares, raw, given)
    return looked.place if looked else ""


def shortened(raw: bytes) -> Iterator[bytes]:
    """Yield the message without each of its segments, and with each of its fields empty."""
    lines = raw.split(b"\r")
    for number, line in enumerate(lines):
        yield b"\r".join((*lines[:number], *lines[number + 1 :]))
        fields = line.split(b"|")
        for place in range(1, len(fields)):
            empty = b"|".join((*fields[:place], b"", *fields[place + 1 :]))
            yield b"\r".join((*lines[:number], empty, *lines[number + 1 :]))


@st.composite
def faulty(draw: st.DrawFn) -> bytes:
    """A message with up to three faults: of a segment, a field, an escape, the type, the character set."""
    lines = (
        draw(st.sampled_from((*WRITTEN, *NAMELESS, *GOLDEN))).replace(b"\r\n", b"\r").replace(b"\n", b"\r").split(b"\r")
    )
    for _ in range(draw(st.integers(1, 3))):
        number = draw(st.integers(0, len(lines) - 1))
        fields = lines[number].split(b"|")
        place = draw(st.integers(0, len(fields) - 1))
        match draw(st.sampled_from(("drop", "twice", "cut", "field", "within", "kind", "charset"))):
            case "drop" if len(lines) > 1:
                del lines[number]
            case "twice":
                lines.insert(number, lines[number])
            case "cut":
                lines[number] = lines[number][: draw(st.integers(0, len(lines[number])))]
            case "field":
                fields[place] = draw(st.sampled_from(FAULTS))
                lines[number] = b"|".join(fields)
            case "within":
                at = draw(st.integers(0, len(lines[number])))
                lines[number] = lines[number][:at] + draw(st.sampled_from(FAULTS)) + lines[number][at:]
            case "kind":
                lines[0] = b"|".join((*lines[0].split(b"|")[:8], draw(st.sampled_from(KINDS)), b"M1", b"P", b"2.5.1"))
            case "charset":
                header = [*lines[0].split(b"|"), *[b""] * 18][:18]
                lines[0] = b"|".join((*header[:17], draw(st.sampled_from(CHARSETS))))
    return b"\r".join(lines)


@pytest.mark.parametrize("given", SETTINGS, ids=["default", "create", "refuse"])
def test_on_messages_of_every_form(given: Settings) -> None:
    places = Counter(require_same(raw, given) for raw in (*WRITTEN, *NAMELESS, *GOLDEN))
    assert places[""]


@pytest.mark.parametrize("given", SETTINGS[:2], ids=["default", "create"])
def test_on_messages_without_one_segment_or_field(given: Settings) -> None:
    places = Counter(require_same(short, given) for raw in (*WRITTEN, *NAMELESS) for short in shortened(raw))
    assert {"", "MSH-10", "MSH-9", "PID-3", "TXA", "TXA-12.2", "OBX", "OBX-5", "MRG-1"} <= places.keys()


@given(raw=faulty(), which=st.sampled_from(SETTINGS))
@settings(max_examples=400, deadline=None)
def test_on_messages_with_faults(raw: bytes, which: Settings) -> None:
    require_same(raw, which)


def test_on_the_reference_messages() -> None:
    messages = [message for path in sorted(DATA.rglob("*.hl7")) for message in split_messages(path.read_bytes())]
    if not messages:
        pytest.skip(f"the HL7 v2 messages are not there ({DATA})")
    places = Counter(require_same(raw, Settings()) for raw in messages)
    assert places[""] > len(messages) / 2
    assert len(places) > 3
