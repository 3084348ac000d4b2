"""Hostile messages: each is read or refused with a reason; memory and time are bounded by the size of what came."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.errors import InputError
from fhir_coder.fhir.bundle import to_bundle
from fhir_coder.fhir.checks import check
from fhir_coder.ingest.acknowledgement import acknowledge
from fhir_coder.ingest.files import read_path
from fhir_coder.ingest.hl7v2 import Message, parse
from fhir_coder.ingest.hl7v2_content import Content, read_message
from fhir_coder.model import CodedNote
from fhir_coder.settings import Settings

HEADER = r"MSH|^~\&|APP|HOSP|US|HERE|20250422||MDM^T02^MDM_T02|M1|P|2.5.1"
HEAD = f"{HEADER}\rPID|1||844^^^RIVER\rTXA|1|PR|||||||||||D9\r"
ROOMY = Settings(max_note_chars=100_000_000)


def read(raw: str, settings: Settings | None = None) -> Content:
    return read_message(parse(raw.encode()), settings or Settings())


def refusal(raw: bytes) -> str | None:
    """Return the place of the fault for which a message is refused, None when it is read; its sender gets an answer."""
    try:
        read_message(parse(raw), ROOMY)
    except InputError as error:
        return error.place if acknowledge(raw, error) and str(error) else ""
    return None


def test_20_000_observations() -> None:
    lines = [rf"OBX|{number}|TX|N^Note||line {number} \T\ more||||||F" for number in range(20_000)]
    (note,) = read(HEAD + "\r".join(lines)).notes
    assert note.text.count("\n") == 19_999
    assert note.text.endswith("line 19999 & more")


def test_20_000_reports() -> None:
    reports = [f"OBR|{number}||F{number}|1^CT\rOBX|1|TX|1^CT||text {number}" for number in range(20_000)]
    raw = HEAD.replace("MDM^T02^MDM_T02", "ORU^R01") + "\r".join(reports)
    assert len(read(raw).notes) == 20_000


@pytest.mark.parametrize("escape", [r"\.sp200000000\x", r"\.sk200000000\x", r"\.sp999\x" * 200_000])
def test_an_escape_that_would_be_200_mb(escape: str) -> None:
    raw = f"{HEAD}OBX|1|TX|||{escape}"
    (note,) = read(raw, ROOMY).notes
    assert len(note.text) < 1.5 * len(raw)


@pytest.mark.parametrize(
    "value",
    [
        "~" * 1_000_000,
        "^" * 1_000_000,
        "&" * 1_000_000,
        "\\" * 1_000_000,
        r"\X" + "41" * 500_000 + "\\",
        "\n" * 1_000_000,
    ],
    ids=["repetitions", "components", "subcomponents", "escapes", "hexadecimal", "lines"],
)
@pytest.mark.parametrize(
    "place", ["OBX|1|TX|||", "OBX|1|CE|||", "OBX|1|ED|||", "NTE|1||", "PID|1||", "DG1|1||", "ZZZ|"]
)
def test_a_million_delimiters(value: str, place: str) -> None:
    assert refusal(f"{HEAD}OBX|1|TX|||text\r{place}{value}".encode()) != ""


def test_a_text_that_is_too_long_is_refused_before_it_is_coded() -> None:
    with pytest.raises(InputError) as caught:
        read(f"{HEAD}OBX|1|TX|||{'x' * 2000}", Settings(max_note_chars=1000))
    assert caught.value.code == "too-long"


@pytest.mark.parametrize("end", range(0, len(HEAD) + 30, 7))
def test_a_message_that_is_cut_off(end: int) -> None:
    raw = f"{HEAD}OBX|1|TX|||text||||||F"[:end].encode()
    assert refusal(raw) != ""


def test_a_truncated_character_is_no_text() -> None:
    with pytest.raises(InputError) as caught:
        parse((HEAD + "OBX|1|TX|||Fu").encode() + "ß".encode()[:1])
    assert caught.value.place == "MSH-18"


def test_a_charset_that_lies_is_refused() -> None:
    raw = (HEAD.replace("2.5.1", "2.5.1||||||UNICODE UTF-8") + "OBX|1|TX|||Fuß").encode("latin-1")
    with pytest.raises(InputError) as caught:
        parse(raw)
    assert caught.value.place == "MSH-18"
    assert b"MSA|AR|M1" in (acknowledge(raw, caught.value) or b"")


def test_a_bomb_in_gzip_grows_no_further_than_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "bomb.hl7.gz"
    with gzip.open(path, "wb") as file:
        for _ in range(100):
            file.write(b"\0" * 1_000_000)
    (intake,) = read_path(path, Settings(max_body_bytes=1_000_000))
    assert intake.error is not None
    assert intake.error.code == "too-long"


SEGMENTS = st.sampled_from("MSH PID PV1 TXA OBR OBX NTE ORC DG1 MRG EVN ADD DSC RF1 ZZ1".split())
PIECES = st.sampled_from(
    [
        "",
        "|",
        "^",
        "~",
        "&",
        "\\",
        r"\.br\\",
        r"\X41\\",
        '""',
        "1",
        "TX",
        "ED",
        "CE",
        "NM",
        "F",
        "844^^^RIVER",
        "20250422",
    ]
)
TYPES = st.sampled_from(["MDM^T02", "MDM^T11", "ORU^R01", "ADT^A01", "ADT^A40", "ORM^O01", "REF^I12", "OUL^R22"])


@given(TYPES, st.lists(st.tuples(SEGMENTS, st.lists(PIECES, max_size=12).map("|".join)), max_size=8))
def test_whatever_segments_come_in_whatever_order(type_: str, segments: list[tuple[str, str]]) -> None:
    body = "\r".join(f"{name}|{fields}" for name, fields in segments)
    raw = f"{HEADER.replace('MDM^T02^MDM_T02', type_)}\rPID|1||844^^^RIVER\r{body}"
    try:
        message = parse(raw.encode())
        content = read_message(message, Settings())
    except InputError:
        return
    assert isinstance(message, Message)
    for note in content.notes:
        check(to_bundle(CodedNote(note=note)))
    if content.records:
        check({"resourceType": "Bundle", "type": "transaction", "entry": list(content.records)})
