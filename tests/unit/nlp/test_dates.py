"""Dates that words and numbers state."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.nlp.dates import Calendar, find_dates
from tests.unit.nlp.hostile import HOSTILE, of_length

DAY = date(2026, 3, 1)  # a Sunday
CALENDAR = Calendar(day=DAY, birth=date(1960, 5, 5))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        # years
        ("diagnosed in 2015", "2015"),
        ("since 2015", "2015"),
        ("(2019)", "2019"),
        ("s/p appendectomy 2019.", "2019"),
        ("2 years ago", "2024"),
        ("a year ago", "2025"),
        ("x 12 years", "2014"),
        ("12-year history of", "2014"),
        ("last year", "2025"),
        # months
        ("since March", "2026-03"),
        ("in May", "2025-05"),
        ("in March 2023", "2023-03"),
        ("March of 2015", "2015-03"),
        ("A1c 8.2% (3/2024)", "2024-03"),
        ("for the past 6 months", "2025-09"),
        ("last month", "2026-02"),
        # days
        ("on 3/14/2024", "2024-03-14"),
        ("started 1/5/24", "2024-01-05"),
        ("1/5/98", "1998-01-05"),
        ("2024-12-03", "2024-12-03"),
        ("March 14, 2015", "2015-03-14"),
        ("on Mar 14th, 2015", "2015-03-14"),
        ("14 March 2015", "2015-03-14"),
        ("14-Mar-2015", "2015-03-14"),
        ("on 2/20", "2026-02-20"),
        ("on 3/4", "2025-03-04"),
        ("25/12/2023", "2023-12-25"),  # in one order only
        ("yesterday", "2026-02-28"),
        ("this morning", "2026-03-01"),
        ("at 0600", "2026-03-01"),
        ("on Friday", "2026-02-27"),
        ("since last Sunday", "2026-02-22"),
        ("two weeks ago", "2026-02-15"),
        ("10 days earlier", "2026-02-19"),
        ("x 3 days", "2026-02-26"),
        ("x3d", None),
        ("for 2 hours", "2026-03-01"),
        ("72 hours ago", "2026-02-26"),
        ("3-day history of cough", "2026-02-26"),
        ("two weeks of", "2026-02-15"),
        ("over the past couple of days", "2026-02-27"),
        # stretches
        ("2-3 weeks ago", "2026-02-08/2026-02-15"),
        ("2 to 3 months ago", "2025-12/2026-01"),
        ("last week", "2026-02-16/2026-02-22"),
        ("in the past month", "2026-02/2026-03-01"),
        # words only
        ("several days ago", ""),
        ("since childhood", ""),
        ("3 days prior to admission", ""),
        ("2015-2017", ""),
        ("in his 50s", ""),
        # what is none
        ("in 2035", None),
        ("in 1920", None),
        ("on 13/45/2020", None),
        ("on 2/30/2020", None),
        ("BP 120/80", None),
        ("dose 2000 mg", None),
        ("may 5 times", None),
        ("she may have", None),
        ("in 3 weeks", None),
        ("x 2", None),
        ("strength 5/5", None),
        ("900 years ago", None),
    ],
)
def test_what_is_stated(text: str, told: str | None) -> None:
    found = find_dates(text, CALENDAR)
    assert [each.date for each in found] == ([] if told is None else [told])
    assert all(0 <= each.start < each.end <= len(text) for each in found)


@pytest.mark.parametrize(
    ("text", "age"),
    [("at age 12", 12), ("since the age of 12", 12), ("at 49 years old", 49), ("MI at 49.", 49), ("age 50", 50)],
)
def test_ages(text: str, age: int) -> None:
    assert [each.age for each in find_dates(text, CALENDAR)] == [age]


def test_since_birth() -> None:
    assert find_dates("since birth", CALENDAR)[0].date == "1960-05-05"


@pytest.mark.parametrize(
    "text", ["two weeks ago", "since March", "on 3/4", "yesterday", "1/5/24", "x 3 days", "in May"]
)
def test_nothing_relative_without_a_document(text: str) -> None:
    assert [each.date for each in find_dates(text, Calendar())] == [""]


@pytest.mark.parametrize(("text", "told"), [("in 2015", "2015"), ("3/14/2024", "2024-03-14"), ("3/2024", "2024-03")])
def test_what_is_absolute_needs_no_document(text: str, told: str) -> None:
    assert [each.date for each in find_dates(text, Calendar())] == [told]


@pytest.mark.parametrize(("day_first", "told"), [(False, "2024-03-04"), (True, "2024-04-03")])
def test_order_of_day_and_month(day_first: bool, told: str) -> None:
    assert find_dates("on 3/4/2024", Calendar(day=DAY, day_first=day_first))[0].date == told


@given(st.text(max_size=200), st.dates(min_value=date(1900, 1, 1), max_value=date(2100, 1, 1)))
def test_any_text_and_day(text: str, day: date) -> None:
    for each in find_dates(text, Calendar(day=day)):
        assert 0 <= each.start < each.end <= len(text)


@given(st.sampled_from(["ago", "earlier"]), st.integers(0, 999), st.sampled_from(["days", "weeks", "months", "years"]))
def test_any_number_is_before_the_document(words: str, number: int, unit: str) -> None:
    for each in find_dates(f"{number} {unit} {words}", Calendar(day=DAY)):
        assert each.date <= DAY.isoformat()


@pytest.mark.parametrize("kind", HOSTILE)
def test_text_that_is_no_note(kind: str) -> None:
    assert len(find_dates(of_length(HOSTILE[kind], 20_000), CALENDAR)) <= 20_000
