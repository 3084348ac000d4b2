"""Acknowledgements, judged by hl7apy."""

import pytest
from hl7apy.parser import parse_message
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.errors import InputError, UnsupportedError
from fhir_coder.ingest.acknowledgement import acknowledge
from fhir_coder.ingest.hl7v2 import parse

PLAIN = r"MSH|^~\&|APP|HOSP|US|HERE|20250422||MDM^T02^MDM_T02|M1|P|2.5.1"
MISSING = InputError("give one", place="PID-3.4", code="required")


def answer(header: str, error: InputError | None = None) -> list[list[str]]:
    raw = acknowledge(header.encode(), error)
    assert raw is not None
    return [segment.split("|") for segment in raw.decode().split("\r") if segment]


def test_an_acceptance() -> None:
    msh, msa = answer(PLAIN)
    assert msh[2:6] == ["US", "HERE", "APP", "HOSP"]
    assert (msh[8], msh[10], msh[11]) == ("ACK^T02^ACK", "P", "2.5.1")
    assert msa == ["MSA", "AA", "M1"]


@pytest.mark.parametrize("error", [None, MISSING, UnsupportedError("no", place="MSH-9")])
def test_hl7apy_finds_no_fault(error: InputError | None) -> None:
    raw = acknowledge(PLAIN.encode(), error)
    assert raw is not None
    message = parse_message(raw.decode())
    assert message.validate()
    assert message.msa.msa_2.value == "M1"


@pytest.mark.parametrize(
    ("error", "code", "location", "condition"),
    [
        (MISSING, "AE", "PID^1^3^^4", "101"),
        (UnsupportedError("no", place="MSH-9"), "AR", "MSH^1^9", "200"),
        (UnsupportedError("no", place="OBX-2"), "AE", "OBX^1^2", "207"),
        (InputError("no", place="segment 3", code="structure"), "AR", "", "100"),
        (InputError("no", place="TXA", code="required"), "AE", "TXA^1", "101"),
    ],
)
def test_a_refusal_says_where_and_why(error: InputError, code: str, location: str, condition: str) -> None:
    _, msa, err = answer(PLAIN, error)
    assert msa[1] == code
    assert (err[2], err[3].split("^")[0], err[4]) == (location, condition, "E")
    assert str(error) in err[8]


@pytest.mark.parametrize(
    ("modes", "good", "bad"),
    [
        ("||||AL|NE", "CA", "CE"),
        ("||||NE|AL", "AA", "AE"),
        ("||||NE|NE", None, None),
        ("||||ER|NE", None, "CE"),
        ("||||SU|NE", "CA", None),
        ("|||||AL", "CA", "CE"),
    ],
)
def test_enhanced_mode(modes: str, good: str | None, bad: str | None) -> None:
    for error, expected in ((None, good), (MISSING, bad)):
        raw = acknowledge(f"{PLAIN}{modes[1:]}".encode(), error)
        assert (raw is None) == (expected is None)
        assert expected is None or f"\rMSA|{expected}|M1\r".encode() in (raw or b"")


def test_the_control_id_is_echoed_in_our_delimiters() -> None:
    raw = acknowledge(b"MSH$*!?%$A$B$C$D$2025$$MDM*T02$a|b?F?c$P$2.3", None)
    assert raw is not None
    assert parse(raw).value("MSA", 2) == "a|b$c"
    assert parse(raw).value("MSH", 12) == "2.3"


@given(st.binary(max_size=100) | st.binary(max_size=100).map(lambda tail: b"MSH|^~\\&|" + tail))
def test_whatever_comes_is_answered_readably(raw: bytes) -> None:
    acknowledgement = acknowledge(raw, InputError("unreadable", place="MSH", code="structure"))
    if acknowledgement is not None:
        assert parse(acknowledgement).value("MSA", 1) in ("AR", "CR")
