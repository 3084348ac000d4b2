"""The whole way from note to coded note: its contract, and inputs that nobody means well with."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_coder import Coder, Note, Settings, to_bundle
from fhir_coder.errors import InputError
from fhir_coder.model import CODE_SYSTEMS, CodedNote, EntityType
from fhir_coder.report import as_dict

NOTES = (
    "Pt denies chest pain. Started lisinopril 10 mg daily for HTN.",
    "FH: mother with breast cancer.\nVitals: BP 142/88, HR 70. K 4.2, Na 140",
    "",
    "PMH: diabetes, asthma\nUses a wheelchair. s/p appendectomy. Possible pneumonia.",
)
FRAGMENTS = st.one_of(
    st.sampled_from(
        [*NOTES, "HTN", "no ", "K 4.2", "type 2 diabetes", "\n", "\r\n", "PMH:", "MS", "İ", "\u202e", "\x00"]
    ),
    st.text(max_size=20),
)
A_LONG_TIME = 180  # seconds: what is quadratic takes far longer


def _check(text: str, coded: CodedNote) -> None:
    """Check what holds for every coded note."""
    assert coded.note.text == text
    end = 0
    for entity in coded.entities:
        assert text[entity.start : entity.end] == entity.text
        assert end <= entity.start < entity.end
        end = entity.end
        assert entity.sentence[0] <= entity.start < entity.end <= entity.sentence[1]
        assert entity.type in EntityType
        assert bool(entity.codings) != bool(entity.abstained)
        systems = [coding.system for coding in entity.codings]
        assert len(systems) == len(set(systems))
        assert set(systems) <= set(CODE_SYSTEMS.values())
        assert all(0 <= candidate.score <= 1 for candidate in (*entity.codings, *entity.candidates))
    assert "".join(text[section.start : section.end] for section in coded.sections) == text


def test_readme_example(coder: Coder) -> None:
    coded = coder(Note(text=NOTES[0]))
    pain, drug, problem = coded.entities
    assert (pain.text, pain.type, pain.assertion.negated) == ("chest pain", "symptom", True)
    assert (drug.type, drug.attributes["dose"], drug.attributes["frequency"]) == ("medication", 10, "daily")
    assert {coding.code for coding in problem.codings} == {"I10", "38341003"}
    for coding in problem.codings:
        assert coding.display
        assert coding.version
        assert coding.reason
    said = [(relation.subject, relation.predicate, relation.object) for relation in coded.relations]
    assert (drug, "TREATS", problem) in said
    assert to_bundle(coded)["type"] == "transaction"


@given(st.lists(FRAGMENTS, max_size=12).map("".join))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text(coder: Coder, text: str) -> None:
    _check(text, coder(Note(text=text)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t",
        "\U0001f600 HTN \U0001f469\u200d\u2695\ufe0f chest pain",
        "\u202eHTN\u202c مريض HTN שלום chest pain",
        "HTN\x00\x01\x07\x1b[31m chest\x0bpain\u2028fever",
        "1" * 5000,
        "(((((",
        "((((( HTN " * 300,
        "e\u0301" * 500 + " HTN",
        "no " * 3000 + "fever",
        "-" * 5000,
        ":\n" * 3000,
    ],
    ids=repr,
)
def test_nasty_text(coder: Coder, text: str) -> None:
    _check(text, coder(Note(text=text)))


def test_half_a_surrogate_pair_is_refused(coder: Coder) -> None:
    with pytest.raises(InputError, match="offset 4"):
        coder(Note(text="HTN \ud800"))


@pytest.mark.parametrize("unit", ["a", "chestpain", "k4.2,", "(", "HTN/", "no", "1."])
def test_one_long_line_without_spaces(coder: Coder, unit: str) -> None:
    text = (unit * 200_000)[:200_000]
    begun = time.monotonic()
    coded = coder(Note(text=text))
    assert time.monotonic() - begun < A_LONG_TIME
    _check(text, coded)


def test_a_long_note(coder: Coder) -> None:
    text = "Denies fever, cough and chest pain. Metformin 500 mg BID. K 4.2.\n" * 3000
    begun = time.monotonic()
    coded = coder(Note(text=text))
    assert time.monotonic() - begun < A_LONG_TIME
    assert len(coded.entities) >= 4 * 3000
    _check(text, coded)


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_many_equals_one_by_one(coder: Coder, batch_size: int) -> None:
    notes = [Note(text=text, id=f"{rank}") for rank, text in enumerate(NOTES)]
    assert list(coder.many(iter(notes), batch_size=batch_size)) == [coder(note) for note in notes]


def test_what_was_looked_up_before_changes_nothing(coder: Coder) -> None:
    note = Note(text="Diabetes and hypertension.")
    before = coder(note)
    for text in ("Diabetes", "hypertension"):
        coder.lookup("icd10cm", text, coder.settings.max_candidates)
    assert coder(note) == before


def test_many_of_none(coder: Coder) -> None:
    assert list(coder.many([])) == []


def test_the_note_is_kept(coder: Coder) -> None:
    note = Note(text="HTN", id="7", subject="Patient/7", date=datetime(2026, 3, 1, tzinfo=UTC))
    assert coder(note).note is note
    assert as_dict(coder(note))["note"]["id"] == "7"


def test_min_confidence(coder: Coder) -> None:
    note = Note(text="Diabetes and HTN.")
    everything = coder(note, min_confidence=0)
    strict = coder(note, min_confidence=1)
    assert {coding.score for entity in strict.entities for coding in entity.codings} <= {1.0}
    count = [sum(len(entity.codings) for entity in coded.entities) for coded in (strict, coder(note), everything)]
    assert count == sorted(count)
    assert count[0] < count[2]
    (again,) = coder.many([note], min_confidence=1)
    assert again == strict


def test_too_long(coder: Coder) -> None:
    small = Coder(Settings.load(encoder="none", max_note_chars=3), [release.folder for release in coder.store.releases])
    assert small(Note(text="HTN")).entities
    with pytest.raises(InputError, match="max_note_chars") as caught:
        small(Note(text="a HTN"))
    assert (caught.value.place, caught.value.code) == ("text", "too-long")
    small.store.close()


def test_a_problem_is_no_device(coder: Coder) -> None:
    """What the recogniser takes for a device gets no code of another kind of thing, and is told so."""
    coded = coder(Note(text="68 yo RHD M with R shoulder pain x 6 mo after fall off ladder."))
    fall = next(each for each in coded.entities if each.text == "fall")
    assert fall.type is EntityType.DEVICE
    assert not fall.codings
    assert any("it is a disease, and the note speaks of a device" in each.reason for each in fall.candidates)


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("Stenosis of the aortic valve.", {"60573004", "I35.0"}),
        ("Squamous cell carcinoma of the lung.", {"254634000", "C34.90"}),
    ],
)
def test_a_name_in_another_order_leads_through_the_maps(coder: Coder, text: str, codes: set[str]) -> None:
    (entity,) = coder(Note(text=text)).entities
    assert {coding.code for coding in entity.codings} == codes
