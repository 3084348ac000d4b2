"""The rules of the extended map: reading them, three-valued truth, and the choice of one row per group."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.errors import TerminologyError
from fhir_coder.model import ICD10CM, SNOMED
from fhir_coder.terminology.map_rules import PatientContext, chosen, holds
from fhir_coder.terminology.release import MapRow

FEMALE = "IFA 248152002 | Female (finding) |"
MALE = "IFA 248153007 | Male (finding) |"
PREGNANT = "IFA 77386006 | Pregnant (finding) |"
ONSET = "IFA 445518008 | Age at onset of clinical finding (observable entity) |"
AGE = "IFA 424144002 | Current chronological age (observable entity) |"
NEWBORN = f"{ONSET} < 29.0 days"
ADOLESCENT = f"{ONSET} >= 12.0 years AND {ONSET} < 19.0 years"
NOBODY = PatientContext()


def row(target: str, rule: str = "TRUE", *, group: int = 1, priority: int = 1) -> MapRow:
    return MapRow(SNOMED, "38341003", ICD10CM, target, "relatedto", "test", group, priority, rule)


@pytest.mark.parametrize("rule", ["TRUE", "OTHERWISE TRUE", "", "  TRUE "])
def test_unconditional(rule: str) -> None:
    assert holds(rule, NOBODY) is True


def test_sex() -> None:
    assert holds(FEMALE, PatientContext(sex="female")) is True
    assert holds(FEMALE, PatientContext(sex="male")) is False
    assert holds(MALE, PatientContext(sex="male")) is True
    assert holds(FEMALE, NOBODY) is None


def test_condition_that_is_not_listed_is_absent() -> None:
    assert holds(PREGNANT, PatientContext(conditions=frozenset({"77386006"}))) is True
    assert holds(PREGNANT, NOBODY) is False


@pytest.mark.parametrize(
    ("limit", "days", "expected"),
    [
        ("< 29.0 days", 28, True),
        ("< 29.0 days", 29, False),
        ("<= 28.0 days", 28, True),
        ("<= 28.0 days", 29, False),
        ("> 28 days", 28, False),
        (">= 28 days", 28, True),
        ("< 2 weeks", 13, True),
        ("< 2 weeks", 14, False),
        ("< 1.0 year", 364, True),
        ("< 1.0 year", 365, None),  # the birthday, unless a leap day came between
        ("< 1.0 year", 366, False),
        (">= 12.0 years", 4382, False),
        (">= 12.0 years", 4383, True),  # twelve years have three leap days, always
        ("<= 15.0 years", 5478, True),
        ("<= 15.0 years", 5479, None),
        ("<= 15.0 years", 5480, False),
        ("< 2 months", 57, True),
        ("< 2 months", 60, None),  # 59 to 62 days
        ("< 2 months", 63, False),
    ],
)
@pytest.mark.parametrize("name", [ONSET, AGE])
def test_age(name: str, limit: str, days: int, expected: bool | None) -> None:
    assert holds(f"{name} {limit}", PatientContext(age_days=days)) is expected
    assert holds(f"{name} {limit}", NOBODY) is None


def test_age_at_onset_where_it_is_known() -> None:
    patient = PatientContext(age_days=15_000, onset_age_days=10)
    assert holds(NEWBORN, patient) is True
    assert holds(f"{AGE} < 29.0 days", patient) is False


def test_conjunction_in_three_values() -> None:
    assert holds(ADOLESCENT, PatientContext(age_days=5000)) is True
    assert holds(ADOLESCENT, PatientContext(age_days=9000)) is False
    assert holds(f"{FEMALE} AND {PREGNANT}", NOBODY) is False  # whatever the sex
    assert holds(f"{FEMALE} OR {PREGNANT}", PatientContext(conditions=frozenset({"77386006"}))) is True
    assert holds(f"{FEMALE} OR {PREGNANT}", NOBODY) is None


def test_and_binds_more_tightly_than_or() -> None:
    male = PatientContext(sex="male", conditions=frozenset({"77386006"}))
    assert holds(f"{PREGNANT} OR {FEMALE} AND {FEMALE}", male) is True
    assert holds(f"({PREGNANT} OR {FEMALE}) AND {FEMALE}", male) is False


def test_words_within_a_name_are_no_operators() -> None:
    rule = "IFA 111552007 | Diabetes mellitus (type 1 OR type 2) AND no complication (disorder) |"
    assert holds(rule, PatientContext(conditions=frozenset({"111552007"}))) is True


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("ALWAYS I10", "nothing is known that begins 'ALWAYS I10'"),
        ("true", "nothing is known"),
        ("IFA 248152002 | Female (finding)", "nothing is known"),
        ("IFA Female", "nothing is known"),
        (f"{ONSET}", "445518008 is an age without a limit"),
        (f"{ONSET} < 12 fortnights", "an age without a limit"),
        (f"{ONSET} = 12 years", "an age without a limit"),
        (f"{FEMALE} < 12 years", "248152002 is compared with a number"),
        (f"{FEMALE} AND", "it ends where a condition should follow"),
        (f"AND {FEMALE}", "AND stands where a condition should"),
        (f"{FEMALE} {PREGNANT}", "AND or OR is missing"),
        (f"{FEMALE})", "a parenthesis is one too many"),
        (f"({FEMALE}", "a parenthesis is not closed"),
        ("(" * 5000, "stands where a condition should"),
    ],
)
def test_rule_that_cannot_be_read(rule: str, why: str) -> None:
    with pytest.raises(TerminologyError, match="cannot be read") as error:
        holds(rule, NOBODY)
    assert why in str(error.value)


def test_choice_by_priority() -> None:
    rows = [row("I10", "OTHERWISE TRUE", priority=2), row("P29.2", NEWBORN, priority=1)]
    newborn, adult = PatientContext(age_days=3), PatientContext(age_days=20_000)
    assert [choice.row for choice in chosen(rows, newborn)] == [rows[1]]
    (choice,) = chosen(rows, adult)
    assert choice.row is rows[0]
    assert choice.reason == "OTHERWISE TRUE (the age at onset is taken to be the age at the note's date)"


def test_unknown_leaves_the_group_open() -> None:
    rows = [row("P29.2", NEWBORN), row("O10", PREGNANT, priority=2), row("I10", "OTHERWISE TRUE", priority=3)]
    (choice,) = chosen(rows, NOBODY)
    assert choice.row is None
    assert choice.reason == "cannot be told: the patient's age is not known"
    assert choice.open == (rows[0], rows[2])


def test_age_too_near_the_limit() -> None:
    (choice,) = chosen([row("Z00.3", ADOLESCENT)], PatientContext(age_days=6939))
    assert choice.row is None
    assert choice.reason == "cannot be told: the patient's age is too near 19 years"


def test_unreadable_rule_leaves_the_group_open() -> None:
    rows = [row("P29.2", "IF YOUNG"), row("I10", "OTHERWISE TRUE", priority=2)]
    (choice,) = chosen(rows, PatientContext(age_days=20_000))
    assert choice.row is None
    assert choice.open == tuple(rows)
    assert "'IF YOUNG' cannot be read" in choice.reason


def test_groups_are_independent() -> None:
    rows = [row("S52.501?", group=1), row("W19.XXX?", FEMALE, group=2), row("Y92.9", MALE, group=3)]
    choices = chosen(rows, PatientContext(sex="male"))
    assert [(choice.group, choice.row, choice.open) for choice in choices] == [
        (1, rows[0], ()),
        (2, None, ()),
        (3, rows[2], ()),
    ]
    assert choices[1].reason == "no rule of the group holds"


def test_rows_without_rule_and_without_rows() -> None:
    assert chosen([row("I10", "")], NOBODY)[0].reason == "TRUE"
    assert chosen([], NOBODY) == []


conditions = st.sampled_from([FEMALE, MALE, PREGNANT, NEWBORN, f"{AGE} >= 65.0 years", f"{ONSET} < 6 months"])
rules = st.recursive(
    conditions,
    lambda inner: st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(lambda it: f"({it[0]} {it[1]} {it[2]})"),
    max_leaves=6,
)
patients = st.builds(
    PatientContext,
    sex=st.sampled_from([None, "female", "male"]),
    age_days=st.none() | st.integers(0, 40_000),
    conditions=st.sampled_from([frozenset[str](), frozenset({"77386006"})]),
)


@given(st.text() | st.text("IFAND OR()|<>=0123456789.days years", max_size=60), patients)
def test_any_text_is_read_or_refused(rule: str, patient: PatientContext) -> None:
    try:
        value = holds(rule, patient)
    except TerminologyError:
        return
    assert value in (True, False, None)


@given(
    st.dates(date(1901, 3, 1), date(1980, 1, 1)),
    st.integers(1, 110 * 12),
    st.integers(-8, 8),
    st.sampled_from(["<", "<=", ">", ">="]),
    st.booleans(),
)
def test_ages_agree_with_the_calendar(birth: date, months: int, offset: int, operator: str, in_years: bool) -> None:
    months = months + -months % 12 if in_years else months
    year, month = divmod(birth.year * 12 + birth.month - 1 + months, 12)
    birthday = date(year, month + 1, 1) + timedelta(days=birth.day - 1)  # 29 February becomes 1 March
    days = (birthday - birth).days + offset
    limit = f"{months // 12} years" if in_years else f"{months} months"
    told = holds(f"{AGE} {operator} {limit}", PatientContext(age_days=days))
    truth = {"<": offset < 0, "<=": offset <= 0, ">": offset > 0, ">=": offset >= 0}[operator]
    assert told in (truth, None)
    if abs(offset) > (1 if in_years else 5):
        assert told is truth


@given(rules, patients)
def test_what_is_learned_never_overturns_what_was_told(rule: str, patient: PatientContext) -> None:
    known = holds(rule, patient)
    if known is None:
        return
    for sex in ("female", "male"):
        if patient.sex in (None, sex):
            told = PatientContext(sex=sex, age_days=patient.age_days, conditions=patient.conditions)
            assert holds(rule, told) is known


@given(rules, st.integers(0, 40_000))
def test_swapping_the_sexes_in_rule_and_patient_changes_nothing(rule: str, age: int) -> None:
    swapped = rule.replace(FEMALE, "*").replace(MALE, FEMALE).replace("*", MALE)
    assert holds(rule, PatientContext(sex="female", age_days=age)) is holds(
        swapped, PatientContext(sex="male", age_days=age)
    )


@given(
    st.lists(st.tuples(rules | st.sampled_from(["TRUE", "OTHERWISE TRUE"]), st.integers(1, 3), st.integers(1, 4))),
    patients,
)
def test_one_choice_per_group(table: list[tuple[str, int, int]], patient: PatientContext) -> None:
    rows = [
        row(f"A{place}", rule, group=group, priority=priority) for place, (rule, group, priority) in enumerate(table)
    ]
    choices = chosen(rows, patient)
    assert [choice.group for choice in choices] == sorted({group for _, group, _ in table})
    for choice in choices:
        if choice.row is not None:
            assert holds(choice.row.rule, patient) is True
            assert choice.open == ()
            earlier = [r for r in rows if r.group == choice.group and r.priority < choice.row.priority]
            assert all(holds(r.rule, patient) is False for r in earlier)
