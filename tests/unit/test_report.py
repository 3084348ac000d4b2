"""The JSON and the table of a coded note."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import orjson
import pytest
from rich.console import Console

from fhir_coder.model import (
    ICD10CM,
    Assertion,
    Candidate,
    CodedNote,
    Coding,
    Entity,
    EntityType,
    Note,
    Relation,
    Section,
)
from fhir_coder.report import as_dict, assertion_words, candidate_table, table

CODING = Coding(system=ICD10CM, code="I10", display="Hypertension", version="1", score=1.0, stage="exact", reason="r")
CANDIDATE = Candidate(
    system=ICD10CM, code="I10", display="[b]Hypertension", version="1", score=0.5, matched="HTN", stage="exact"
)
HTN = Entity(
    text="HTN", start=4, end=7, type=EntityType.DISEASE, codings=(CODING,), candidates=(CANDIDATE,), section="labs"
)
DRUG = Entity(
    text="[red]\nlisinopril",
    start=8,
    end=24,
    type=EntityType.MEDICATION,
    attributes={"sig": "10 mg daily"},
    abstained="nothing fits",
)
NOTE = CodedNote(
    note=Note(text="x" * 30, id="[n]", subject="Patient/7", date=datetime(2026, 3, 1, 9, 30, tzinfo=UTC)),
    sections=(Section(category="labs", title="Labs", start=0, body_start=4, end=30),),
    entities=(HTN, DRUG),
    relations=(Relation(subject=DRUG, predicate="TREATS", object=HTN, score=0.8),),
)


def _printed(renderable: object) -> str:
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(renderable)
    return console.export_text()


def test_json_has_the_contract_s_fields() -> None:
    data = orjson.loads(orjson.dumps(as_dict(NOTE)))
    assert set(data) == {"note", "sections", "entities", "relations", "remarks"}
    assert data["note"] == {
        "id": "[n]",
        "subject": "Patient/7",
        "encounter": None,
        "document": None,
        "date": "2026-03-01T09:30:00+00:00",
        "text": NOTE.note.text,
        "attachment": None,
        "origins": [],
        "passed_over": [],
    }
    first = data["entities"][0]
    names = "text start end type section assertion cues attributes codings candidates abstained"
    assert set(first) == set(names.split())
    assert set(first["codings"][0]) >= {"system", "code", "display", "version", "score"}
    contract = {"system", "code", "display", "version", "score", "matched", "stage"}
    assert set(first["candidates"][0]) == contract | {"barred", "reason"}
    relation = data["relations"][0]
    assert (relation["subject"]["text"], relation["predicate"], relation["object"]["start"]) == (
        DRUG.text,
        "TREATS",
        4,
    )


def test_table_shows_markup_as_it_is() -> None:
    printed = _printed(table(NOTE))
    for words in ("[n]", "4-7", "icd10cm", "I10", "[red] lisinopril (10 mg daily)", "nothing fits", "present"):
        assert words in printed


def test_candidate_table() -> None:
    printed = _printed(candidate_table("[x] htn", (CANDIDATE,)))
    for words in ("[x] htn", "[b]Hypertension", "HTN", "exact", "0.50"):
        assert words in printed


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"systolic": 120, "diastolic": 80, "unit": "mm[Hg]"}, "120/80 mm[Hg]"),
        ({"value": 4.2, "unit": "mmol/L"}, "4.2 mmol/L"),
        ({"value": 0.01, "comparator": "<"}, "<0.01"),
        ({"value_text": "negative"}, "negative"),
    ],
)
def test_values_in_words(attributes: dict[str, object], words: str) -> None:
    entity = replace(HTN, text="T", attributes=attributes)
    assert f"T ({words})" in _printed(table(CodedNote(note=NOTE.note, entities=(entity,))))


@pytest.mark.parametrize(
    ("assertion", "attributes", "words"),
    [
        (Assertion(), {}, "present"),
        (Assertion(negated=True), {}, "negated"),
        (Assertion(experiencer="family"), {"relative": "mother"}, "family: mother"),
        (Assertion(experiencer="family"), {}, "family"),
        (Assertion(certainty="possible", temporality="historical"), {}, "possible, historical"),
        (Assertion(), {"allergy": True}, "allergy"),
    ],
)
def test_assertion_in_words(assertion: Assertion, attributes: dict[str, object], words: str) -> None:
    assert assertion_words(replace(HTN, assertion=assertion, attributes=attributes)) == words
