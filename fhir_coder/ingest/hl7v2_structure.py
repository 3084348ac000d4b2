"""Whether a message has the structure of its type and version, as hl7apy judges it.

hl7apy is seen to refuse valid messages too (fields whose data type its tables lack), to read messages with LF ends as
one segment, to fail on a version that it does not know, to take 20 ms for a short message, and to write escaped values
wrongly. So it gets the message as our splitter read it, in a version it knows, and only when a setting asks for it;
what it parsed is not used.
"""

from __future__ import annotations

import re
from functools import cache
from types import SimpleNamespace
from typing import Any

from fhir_coder.errors import InputError
from fhir_coder.ingest.hl7v2 import Message, Segment

_NAMES_ONLY = re.compile(
    r"(?:Missing required child|Child limit exceeded) [A-Za-z0-9_.]{1,80}"
    r"|Invalid children detected for <(?:Segment|Group|Message) [A-Za-z0-9_]{1,60}"
)
_FALLBACK = "2.5.1"  # for a version that hl7apy does not know; later versions keep the structures of earlier ones


def require_structure(message: Message) -> None:
    """Raise `InputError` (place "MSH-9") when the message has not the structure of its type and version.

    Segments of a site's own (Z..) are allowed anywhere.
    """
    hl7apy = _hl7apy()
    standard = _in_standard_marks(message, hl7apy.versions)
    try:
        hl7apy.validate(hl7apy.parse_message(standard, find_groups=True))
    except hl7apy.warning:  # of a value (its length, its table), and not of the structure
        return
    except Exception as error:
        # Whatever it stumbles over, and it does over hostile messages, it did not find the structure.
        raise InputError(
            f"the message has not the structure of its type ({_said(error)}); send it as its version of HL7 defines "
            "it, or set hl7v2_validation to off",
            place="MSH-9",
            code="structure",
        ) from None


def _said(error: Exception) -> str:
    """What hl7apy says where it names elements only ("PV1.PV1_2", "<Segment OBX>"); else it may quote the message."""
    found = _NAMES_ONLY.match(str(error))
    return found[0] if found else type(error).__name__


def _in_standard_marks(message: Message, versions: frozenset[str]) -> str:
    header = list(message.segments[0].fields)
    header += [""] * (12 - len(header))
    if message.value("MSH", 12) not in versions:
        header[11] = _FALLBACK
    own = tuple(segment for segment in message.segments[1:] if not segment.name.startswith("Z"))
    return Message(message.delimiters, message.charset, (Segment("MSH", tuple(header)), *own)).er7()


@cache
def _hl7apy() -> Any:
    """The parts of hl7apy that are used, loaded when first asked for: it takes a second."""
    from hl7apy import SUPPORTED_LIBRARIES
    from hl7apy.exceptions import ValidationWarning
    from hl7apy.parser import parse_message
    from hl7apy.validation import Validator

    return SimpleNamespace(
        versions=frozenset(SUPPORTED_LIBRARIES),
        warning=ValidationWarning,
        parse_message=parse_message,
        validate=Validator.validate,
    )
