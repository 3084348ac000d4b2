"""Dates that a text states in words and numbers: "in 2015", "two weeks ago", "since March", "3/14/24", "at age 12".

A date keeps the precision of its words: "in 2015" is a year, "six months ago" a month, "two weeks ago" a day. What
tells a stretch within which something happened ("2-3 weeks ago", "last week", "in the past month") is an interval.
Relative and incomplete dates are reckoned from the document's; without one they stay words. What lies after the
document or before the patient's birth is no date.

The words are those of `mappings/date_phrases.csv`. Everything is found in one pass of google-re2, in time linear in the
text.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Any, Literal, cast, get_args

import re2

from fhir_coder.errors import TableError
from fhir_coder.nlp.phrases import Phrase, Phrases
from fhir_coder.tables import read_table, split

Role = Literal["onset", "abatement", "deceased", "other"]  # other: of a visit, a change of dose, the patient's age ...
# How it is said decides of what it can be: "for the past week" is since, "for a week" a duration, "a week of" history.
Form = Literal["date", "ago", "since", "duration", "history", "age", "bare-age", "bare-year", "vague"]

_KINDS = frozenset({"number", "unit", "month", "weekday", "day", "life", "about", "role"})
_OLDEST = 130  # years of life
_VERBS = frozenset({"may", "march"})  # in small letters, without a year
_UNITS = frozenset({"min", "h", "d", "wk", "mo", "a"})
_MOST: Mapping[str, int] = {
    "min": 1000,
    "h": 500,
    "d": 1000,
    "wk": 500,
    "mo": 600,
    "a": 120,
}  # above, it is no such span


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """What dates are reckoned by: the document's day, the patient's birth, and how numbers are read ("3/4/2024")."""

    day: date | None = None
    birth: date | None = None
    day_first: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """Words that state a date or an age.

    `date` is a FHIR date of the precision of the words ("2015", "2015-03", "2015-03-14"), two of them with a slash for
    an interval, or empty where the words do not tell; `age` is in years.
    """

    start: int
    end: int
    form: Form
    date: str = ""
    age: int | None = None


def find_dates(text: str, calendar: Calendar) -> list[Stated]:
    """Return what states a date or an age in a text, in order; without what cannot be a date."""
    found = []
    for match in _grammar().finditer(text):
        stated = _stated(match, calendar)
        if stated is not None:
            found.append(stated)
    return found


def find_roles(text: str) -> list[Phrase[Role]]:
    """Return the words of a text that tell of what a date beside them is ("since", "resolved", "died"), in order."""
    return _words().roles.find_all(text)


def _stated(match: Any, calendar: Calendar) -> Stated | None:
    """Return what a match of the grammar states; None when it is not possible."""
    given = {name: value for name, value in match.groupdict().items() if value is not None}
    kind = next(name for name in _READERS if name in given)
    form, read = _READERS[kind]
    start, end = match.span(match.re.groupindex[kind])
    if given.get("name") in _VERBS and "of_year" not in given and "of_year2" not in given:
        return None
    told = read({name: value.lower() for name, value in given.items()}, calendar)
    if told is None:
        return None
    if isinstance(told, int):
        return Stated(start=start, end=end, form=form, age=told) if told <= _OLDEST else None
    if told and not _is_plausible(told, calendar):
        return None
    return Stated(start=start, end=end, form=form, date=told)


Given = Mapping[str, str]


def _iso(given: Given, _: Calendar) -> str | None:
    year, month, day = (int(each) for each in given["iso"].split("-"))
    return _partial(year, month, day)


def _numbers(given: Given, calendar: Calendar) -> str | None:
    """Return the date of three numbers; where only one order makes a date, it is that one."""
    first, second, written = (int(each) for each in re.split(r"[/.-]", given["numbers"]))
    year = written if written >= 100 else _century(written, calendar)
    if year is None:
        return ""
    return _ordered(first, second, year, calendar)


def _ordered(first: int, second: int, year: int, calendar: Calendar) -> str | None:
    orders = [(first, second), (second, first)]
    month, day = next(
        (each for each in (orders[::-1] if calendar.day_first else orders) if _partial(year, *each)), (0, 0)
    )
    return _partial(year, month, day) if month else None


def _century(year: int, calendar: Calendar) -> int | None:
    """Return the last year before the document's that ends in two digits; without a document it is not known."""
    if calendar.day is None:
        return None
    return year + calendar.day.year // 100 * 100 - (100 if year > calendar.day.year % 100 else 0)


def _month_of_year(given: Given, _: Calendar) -> str | None:
    month, year = given["month_year"].split("/")
    return _partial(int(year), int(month))


def _day_of_month(given: Given, calendar: Calendar) -> str | None:
    """Return the last such day before the document: "on 3/4"."""
    first, second = (int(each) for each in given["day_month"].split("/"))
    if calendar.day is None:
        return "" if max(first, second) <= 31 and min(first, second) <= 12 else None
    this_year = _ordered(first, second, calendar.day.year, calendar)
    if this_year and this_year <= calendar.day.isoformat():
        return this_year
    return _ordered(first, second, calendar.day.year - 1, calendar)


def _named_month(given: Given, calendar: Calendar) -> str | None:
    """Return "March 14, 2015", "14 March 2015", "March 2015"; the last "March 14" or "March" before the document."""
    month = _words().months[next(given[name] for name in ("name", "name2", "name3") if name in given)]
    day = int(re.sub(r"\D", "", given.get("of_month", given.get("of_month2", ""))) or 0)
    year = int(next((given[name] for name in ("of_year", "of_year2", "of_year3") if name in given), 0))
    if year:
        return _partial(year, month, day)
    if calendar.day is None:
        return ""
    now = calendar.day
    earlier = (month, day or 1) <= (now.month, now.day)
    return _partial(now.year if earlier else now.year - 1, month, day)


def _year(given: Given, _: Calendar) -> str | None:
    return next(given[name] for name in ("year", "bare_year") if name in given)[-4:].strip("([)] ")


def _years(_given: Given, _calendar: Calendar) -> str | None:
    return ""  # "2015-2017": of what beginning and end are, the words do not say


def _ago(given: Given, calendar: Calendar) -> str | None:
    """Return "2 weeks ago", "2-3 weeks ago"; what is before an event of another day stays words."""
    if "to" in given or calendar.day is None:
        return ""
    return _before(calendar.day, given.get("ago_number", ""), given["ago_unit"])


def _past(given: Given, calendar: Calendar) -> str | None:
    """Return "for the past 6 months" (since then), "in the past month" (some time since then)."""
    if calendar.day is None:
        return ""
    begun = _before(calendar.day, given.get("past_number", "1"), given["past_unit"])
    if begun and given["within"] in ("in", "within", "during"):
        return f"{begun.split('/')[0]}/{calendar.day.isoformat()}"
    return begun


def _duration(given: Given, calendar: Calendar) -> str | None:
    if calendar.day is None:
        return ""
    return _before(calendar.day, given["for_number"], given["for_unit"])


def _history(given: Given, calendar: Calendar) -> str | None:
    if calendar.day is None:
        return ""
    return _before(calendar.day, given["of_number"], given["of_unit"])


def _before(day: date, number: str, unit: str) -> str | None:
    """Return the date so long before a day; an interval for "2-3", empty for "several", None for what cannot be."""
    measure = _words().units[unit]
    counts = [_count(each) for each in re.split(r"\s?(?:-|–|\bto\b|\bor\b)\s?", number)]
    if any(count is not None and count > _MOST[measure] for count in counts):
        return None
    told = [count for count in counts if count is not None]
    if len(told) < len(counts):
        return ""
    dates = [_minus(day, count, measure) for count in told]
    return dates[0] if len(dates) == 1 or dates[0] == dates[-1] else f"{dates[-1]}/{dates[0]}"


def _count(number: str) -> int | None:
    number = " ".join(number.split())
    return int(number) if number.isascii() and number.isdigit() else _words().numbers.get(number)


def _minus(day: date, count: int, unit: str) -> str:
    """Return the date so long before a day, in the precision of the unit; hours and weeks are told by the day."""
    if unit == "a":
        return f"{day.year - count:04d}"
    if unit == "mo":
        months = day.year * 12 + day.month - 1 - count
        return f"{months // 12:04d}-{months % 12 + 1:02d}"
    days = {"min": 0, "h": count // 24, "d": count, "wk": 7 * count}[unit]
    return (day - timedelta(days=days)).isoformat()


def _named_day(given: Given, calendar: Calendar) -> str | None:
    if calendar.day is None:
        return ""
    count, unit = _words().days[" ".join(given["day"].split())]
    if unit == "wk":  # the calendar week before
        monday = calendar.day - timedelta(days=calendar.day.weekday() + 7 * count)
        return f"{monday.isoformat()}/{(monday + timedelta(days=6)).isoformat()}"
    return _minus(calendar.day, count, unit)


def _weekday(given: Given, calendar: Calendar) -> str | None:
    """Return the last such day before the document's: "on Monday", "since last Friday"."""
    if calendar.day is None:
        return ""
    number = _words().weekdays[given["weekday_name"]]
    return (calendar.day - timedelta(days=(calendar.day.isoweekday() - number - 1) % 7 + 1)).isoformat()


def _clock(_: Given, calendar: Calendar) -> str | None:
    return calendar.day.isoformat() if calendar.day else ""


def _life(given: Given, calendar: Calendar) -> str | None:
    is_birth = _words().life[" ".join(given["life_name"].split())]
    return calendar.birth.isoformat() if is_birth and calendar.birth else ""


def _age(given: Given, _: Calendar) -> int | None:
    digits = re.findall(r"\d+", given["age"] if "age" in given else given["bare_age"])
    return int(digits[0])


def _decade(_given: Given, _calendar: Calendar) -> str:
    return ""  # "in his 50s"


# Group of the grammar -> the form of what it states, and how it is read. In the order in which groups are looked for.
_READERS: Mapping[str, tuple[Form, Callable[[Given, Calendar], str | int | None]]] = {
    "iso": ("date", _iso),
    "numbers": ("date", _numbers),
    "month_year": ("date", _month_of_year),
    "day_month": ("date", _day_of_month),
    "named_month": ("date", _named_month),
    "years": ("vague", _years),
    "age": ("age", _age),
    "decade": ("vague", _decade),
    "history": ("history", _history),
    "ago": ("ago", _ago),
    "past": ("since", _past),
    "duration": ("duration", _duration),
    "day": ("date", _named_day),
    "weekday": ("date", _weekday),
    "clock": ("date", _clock),
    "life": ("date", _life),
    "year": ("date", _year),
    "bare_age": ("bare-age", _age),
    "bare_year": ("bare-year", _year),
}


def _partial(year: int, month: int = 0, day: int = 0) -> str | None:
    """Return a FHIR date of the given precision, or None when there is no such day."""
    if not 1800 <= year <= 2999 or not 0 <= month <= 12 or (day and not month):
        return None
    if day and day > monthrange(year, month)[1]:
        return None
    return f"{year:04d}" + (f"-{month:02d}" if month else "") + (f"-{day:02d}" if day else "")


def _is_plausible(told: str, calendar: Calendar) -> bool:
    """Tell whether a date lies between the patient's birth and the document, as far as its precision tells."""
    first, last = told.split("/")[0], told.split("/")[-1]
    if calendar.day and first > calendar.day.isoformat()[: len(first)]:
        return False
    oldest = (
        calendar.birth.isoformat() if calendar.birth else f"{(calendar.day or date(2030, 1, 1)).year - _OLDEST:04d}"
    )
    return last >= oldest[: len(last)]


@dataclass(frozen=True, slots=True)
class _Words:
    numbers: Mapping[str, int | None]
    units: Mapping[str, str]
    months: Mapping[str, int]
    weekdays: Mapping[str, int]
    days: Mapping[str, tuple[int, str]]
    life: Mapping[str, bool]
    about: tuple[str, ...]
    roles: Phrases[Role]


@cache
def _words() -> _Words:
    """Return the words of the table.

    Raises `TableError` when a row has an unknown kind or value.
    """
    named: dict[str, dict[str, str]] = {kind: {} for kind in _KINDS}
    for row in read_table("date_phrases.csv", ("kind", "value", "names")):
        if row["kind"] not in named:
            raise TableError(f"mappings/date_phrases.csv: {row['kind']!r} is no kind: use {', '.join(sorted(_KINDS))}")
        for name in split(row["names"]):
            if name != name.lower() or name in named[row["kind"]]:
                raise TableError(f"mappings/date_phrases.csv: {name!r} is not in lower case, or stands in two rows")
            named[row["kind"]][name] = row["value"]
    if not set(named["unit"].values()) <= _UNITS or not set(named["role"].values()) <= set(get_args(Role)):
        raise TableError("mappings/date_phrases.csv: an unknown unit or role")
    try:
        return _Words(
            numbers={name: int(value) if value else None for name, value in named["number"].items()},
            units=named["unit"],
            months={name: int(value) for name, value in named["month"].items()},
            weekdays={name: int(value) for name, value in named["weekday"].items()},
            days={name: (-int(value.split()[0]), value.split()[1]) for name, value in named["day"].items()},
            life={name: value == "birth" for name, value in named["life"].items()},
            about=tuple(named["about"]),
            roles=Phrases(cast(dict[str, Role], named["role"])),
        )
    except (ValueError, IndexError) as error:
        raise TableError(f"mappings/date_phrases.csv: {error}") from error


@cache
def _grammar() -> Any:
    """Return the grammar of stated dates, in which the first alternative that fits counts."""
    words = _words()
    number = rf"(?:\d{{1,3}}|{_any(words.numbers)})"
    span = rf"{number}(?:\s?(?:-|–|to|or)\s?{number})?"
    unit, month, weekday = _any(words.units), _any(words.months), _any(words.weekdays)
    about = rf"(?:(?:{_any(words.about)})\s{{1,2}}|~\s?){{0,3}}"
    year, day = r"(?:19|20)\d\d", r"\d{1,2}(?:st|nd|rd|th)?"
    lead = (
        r"(?:in|on|since|from|until|till|through|by|of|dated|circa|around|about|early|late|mid|year|yr|as\sof|back\sin)"
    )
    part = r"(?:(?:early|late|mid|last|this)[\s-])?"
    return re2.compile(
        r"(?i)"
        r"\b(?P<iso>(?:19|20)\d\d-\d\d-\d\d)\b"
        r"|\b(?P<numbers>\d{1,2}/\d{1,2}/(?:\d{4}|\d{2})|\d{1,2}-\d{1,2}-\d{4}|\d{1,2}\.\d{1,2}\.\d{4})\b"
        rf"|\b(?P<month_year>\d{{1,2}}/{year})\b"
        rf"|\b{lead}[\s:]{{1,2}}(?P<day_month>\d{{1,2}}/\d{{1,2}})(?:[\s,;.)]|$)"
        rf"|\b(?P<named_month>(?:{lead}\s)?{part}(?P<name>{month})\.?[\s-]{{1,2}}(?:of\s)?"
        rf"(?:(?P<of_month>{day})(?:,?\s{{0,2}}(?P<of_year>{year}))?|'?(?P<of_year2>{year}))"
        rf"|(?:{lead}\s)?(?P<of_month2>{day})[\s-]{{1,2}}(?:of\s)?(?P<name2>{month})(?:,?[\s-]{{1,2}}(?P<of_year3>{year}))?"
        rf"|{lead}\s{part}(?P<name3>{month}))\b"
        rf"|\b(?P<years>{year}\s?(?:-|–|to)\s?(?:{year}|\d\d))\b"
        r"|\b(?P<age>(?:at|since|from|by|around)\s(?:the\s)?age(?:\sof)?\s\d{1,3}|at\s\d{1,3}\s?(?:y/?o|yrs?\sold"
        r"|years?\sold|years?\sof\sage))\b"
        r"|\b(?P<decade>(?:in|since|during)\s(?:his|her|their)\s(?:(?:early|mid|late)[\s-])?\d0['’]?s)\b"
        rf"|\b(?P<history>{about}(?P<of_number>{span})[\s-](?P<of_unit>{unit})[\s-](?:duration\sof|history\sof|hx\sof|h/o"
        r"|course\sof|of))\b"
        rf"|\b(?P<ago>(?P<ago_number>{span})\s?-?(?P<ago_unit>{unit})\s(?:ago|prior|earlier|previously|before|back)"
        r"(?P<to>\s(?:to|that|the|this|her|his|admission|arrival|presentation|surgery))?)\b"
        rf"|\b(?P<past>(?P<within>for|over|in|within|during)\s{about}(?:past|last|previous|prior)\s"
        rf"(?:(?P<past_number>{span})[\s-])?(?P<past_unit>{unit}))\b"
        rf"|(?:\b|\d)(?P<duration>(?:x\s?|×\s?|for\s{about})(?P<for_number>{span})[\s-]?(?P<for_unit>{unit}))\b"
        rf"|\b(?P<day>{_any(words.days)})\b"
        rf"|\b(?P<weekday>(?:on|since|last|this\spast)\s(?:last\s)?(?P<weekday_name>{weekday}))\b"
        r"|\b(?P<clock>at\s(?:\d{1,2}:\d{2}|[0-2]\d[0-5]\d\s?h(?:ou)?rs?|[0-2]\d[0-5]\d|\d{1,2}\s?[ap]\.?m))\b"
        rf"|\b(?P<life>(?:since|from|at|in)\s(?P<life_name>{_any(words.life)}))\b"
        rf"|\b(?P<year>{lead}\s(?:the\syear\s)?{year}|[(\[]{year}[)\]]?)\b"
        r"|\b(?P<bare_age>(?:at|age|aged|@)\s?\d{2})(?:[,.;)\s]|$)"
        rf"|\b(?P<bare_year>{year})(?:[,.;:)\]]|\s*$|\s(?:and|with|by|at|for|due|secondary|after|but|s/p|[(–-])|\s*\n)"
    )


def _any(names: Mapping[str, Any] | tuple[str, ...]) -> str:
    """Return a pattern of names, the longest first; a space stands for any white space."""
    ordered = sorted(names, key=len, reverse=True)
    return "(?:" + "|".join(re2.escape(name).replace(r"\ ", r"\s{1,2}") for name in ordered) + ")"
