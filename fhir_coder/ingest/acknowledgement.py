"""Acknowledgements of HL7 v2 messages.

Source: HL7 v2.5.1, section 2.9 (original and enhanced mode), 2.15.8 (MSA), 2.15.5 (ERR), tables 0008, 0155, 0357.
They are written by hand and not by hl7apy, which takes 3 ms for one (300 a second is all a core could
acknowledge), knows no version beyond its own list and escapes an escaped value again. The tests let it judge ours.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from fhir_coder.errors import InputError
from fhir_coder.ingest.hl7v2 import Message, Segment, read_header
from fhir_coder.ingest.hl7v2_escape import Delimiters, escape

_OURS = Delimiters()
# Table 0155: whether (a success, a failure) is to be acknowledged.
_WANTED = {"AL": (True, True), "SU": (True, False), "ER": (False, True), "NE": (False, False)}
_LOCATION = re.compile(r"([A-Z][A-Z0-9]{2})(?:-(\d+)(?:\.(\d+))?)?")
# Table 0357, by FHIR issue type.
_CONDITIONS = {
    "structure": "100^Segment sequence error^HL70357",
    "required": "101^Required field missing^HL70357",
    "value": "102^Data type error^HL70357",
    "not-supported": "207^Application internal error^HL70357",
}
_UNSUPPORTED_TYPE = "200^Unsupported message type^HL70357"


def acknowledge(raw: bytes, error: InputError | None) -> bytes | None:
    """Return the acknowledgement of the message in `raw`, or None when its header asks for none.

    `error` is why it is not taken: a fault of the header or of the whole message is a reject (AR, CR), any
    other an error (AE, CE). Whatever stands in `raw`, the sender can read the answer: without a readable
    header it is a plain AR.
    """
    try:
        header = read_header(raw)
    except InputError as unreadable:
        return _build(None, "AR", error or unreadable)
    mode = _mode(header, success=error is None)
    result = "A" if error is None else "R" if _is_reject(error) else "E"
    return _build(header, mode + result, error) if mode else None


def _mode(header: Message, *, success: bool) -> str:
    """ "A" (application) or "C" (commit) as MSH-15 and MSH-16 ask for; "" when neither wants this outcome."""
    commit, application = header.value("MSH", 15), header.value("MSH", 16)
    if not commit and not application:
        return "A"  # original mode
    outcome = 0 if success else 1
    # An unknown or empty wish counts as "always": a sender that waits in vain sends again for ever.
    if _WANTED.get(commit, (True, True))[outcome]:
        return "C"
    return "A" if application and _WANTED.get(application, (True, True))[outcome] else ""


def _is_reject(error: InputError) -> bool:
    return error.place.startswith(("MSH", "segment")) or error.code in ("structure", "too-long")


def _build(header: Message | None, code: str, error: InputError | None) -> bytes:
    now = datetime.now(UTC)
    event = _echo(header, 9, 2)
    msh = {
        3: _echo(header, 5) or "FHIR_CODER",
        4: _echo(header, 6),
        5: _echo(header, 3),
        6: _echo(header, 4),
        7: now.strftime("%Y%m%d%H%M%S+0000"),
        9: f"ACK^{event}^ACK" if event else "ACK",
        10: now.strftime("%Y%m%d%H%M%S%f"),
        11: _echo(header, 11) or "P",
        12: _echo(header, 12) or "2.5.1",
        18: "UNICODE UTF-8",
    }
    segments = [_segment("MSH", {1: _OURS.field, 2: "^~\\&", **msh}), _segment("MSA", {1: code, 2: _echo(header, 10)})]
    if error is not None:
        segments.append(_error_segment(error))
    return Message(_OURS, "utf-8", tuple(segments)).er7().encode("utf-8")


def _error_segment(error: InputError) -> Segment:
    location = _LOCATION.fullmatch(error.place)
    condition = _CONDITIONS.get(error.code, "207^Application internal error^HL70357")
    return _segment(
        "ERR",
        {
            # ERL: segment, its sequence, field, repetition, component.
            2: f"{location[1]}^1^{location[2] or ''}^^{location[3] or ''}".rstrip("^") if location else "",
            3: _UNSUPPORTED_TYPE if (error.place, error.code) == ("MSH-9", "not-supported") else condition,
            4: "E",
            8: escape(f"{error.place}: {error}" if error.place else str(error), _OURS),
        },
    )


def _segment(name: str, fields: dict[int, str]) -> Segment:
    return Segment(name, tuple(fields.get(number, "") for number in range(1, max(fields) + 1)))


def _echo(header: Message | None, field: int, component: int = 1) -> str:
    return escape(header.value("MSH", field, component), _OURS) if header else ""
