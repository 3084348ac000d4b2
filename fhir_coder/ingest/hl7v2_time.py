"""HL7 v2 times (DTM/TS: YYYY[MM[DD[HH[MM[SS[.S[S[S[S]]]]]]]]][+/-ZZZZ]), section 2.A.22 of HL7 v2.5.1."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache

_TIME = re.compile(
    r"(?P<year>\d{4})(?:(?P<month>\d\d)(?:(?P<day>\d\d)(?:(?P<hour>\d\d)(?:(?P<minute>\d\d)"
    r"(?:(?P<second>\d\d)(?:\.(?P<fraction>\d{1,4}))?)?)?)?)?)?(?P<zone>[+-]\d{4})?",
    re.ASCII,
)


# One message asks for its zone, and many for the same times, again and again.
@lru_cache(maxsize=4096)
def zone_of(value: str) -> timezone | None:
    """Return the zone that an HL7 time states, or None."""
    match = _TIME.fullmatch(value)
    if match is None or match["zone"] is None:
        return None
    minutes = int(match["zone"][1:3]) * 60 + int(match["zone"][3:])
    if minutes > 14 * 60 or int(match["zone"][3:]) > 59:  # no such place; FHIR allows no such instant
        return None
    return timezone(timedelta(minutes=-minutes if match["zone"][0] == "-" else minutes))


@lru_cache(maxsize=4096)
def to_datetime(value: str, default_zone: timezone | None) -> datetime | None:
    """Return an HL7 time as an aware datetime, or None when it is no time or less precise than a day.

    Without a zone of its own it is in `default_zone` (that of MSH-7, section 2.15.9.7), else in UTC: the
    standard says "local", but the sender's zone is nowhere stated, and UTC is the same on every machine.
    A date alone becomes its midnight.
    """
    match = _TIME.fullmatch(value)
    if match is None or match["day"] is None:
        return None
    hour, minute, second = (int(match[part] or 0) for part in ("hour", "minute", "second"))
    try:
        return datetime(
            int(match["year"]),
            int(match["month"]),
            int(match["day"]),
            hour,
            minute,
            second,
            int((match["fraction"] or "").ljust(6, "0")),
            zone_of(value) or default_zone or UTC,
        )
    except ValueError:
        return None


def to_date(value: str) -> str | None:
    """Return an HL7 date as a FHIR date of the same precision (year, month or day), or None when it is none."""
    match = _TIME.fullmatch(value)
    if match is None:
        return None
    year, month, day = match["year"], match["month"], match["day"]
    try:
        date(int(year), int(month or 1), int(day or 1))
    except ValueError:
        return None
    return "-".join(part for part in (year, month, day) if part)
