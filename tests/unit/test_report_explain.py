"""What `fhir-coder code --explain` prints."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from fhir_coder.model import (
    ICD10CM,
    Assertion,
    Candidate,
    CodedNote,
    Coding,
    Cue,
    Entity,
    EntityType,
    Note,
    Remark,
    Step,
)
from fhir_coder.pipeline import Coder
from fhir_coder.report import as_dict
from fhir_coder.report_explain import explanation

TEXT = "HPI:\nHas [b]T2DM and CKD stage 3. Denies pain."
STEPS = (
    Step(rule="name", before="", after="E11.9", reason="the text is a name"),
    Step(rule="combination", before="E11.9", after="E11.22", reason="the note says CKD", spans=((17, 28),)),
    Step(rule="detail", before="E11.22", after="E11.22", reason="nothing more is told"),
)
CODING = Coding(
    system=ICD10CM,
    code="E11.22",
    display="with [i]kidney disease",
    version="2026",
    score=0.95,
    stage="mapped",
    reason="the note says CKD",
    matched="Type 2 diabetes",
    steps=STEPS,
)


def _candidate(code: str, score: float, reason: str = "") -> Candidate:
    return Candidate(
        system=ICD10CM, code=code, display=code, version="2026", score=score, matched="m", stage="exact", reason=reason
    )


DIABETES = Entity(
    text="T2DM",
    start=12,
    end=16,
    type=EntityType.DISEASE,
    section="history_of_present_illness",
    sentence=(5, 33),
    codings=(CODING,),
    candidates=(
        _candidate("E11.22", 0.95, "chosen"),
        _candidate("low", 0.1, "below"),
        *(_candidate(f"c{score}", score, f"lost {score}") for score in (0.9, 0.8, 0.7)),
    ),
)
PAIN = Entity(
    text="pain",
    start=41,
    end=45,
    type=EntityType.SYMPTOM,
    sentence=(34, 46),
    assertion=Assertion(negated=True),
    cues=(Cue(category="NEGATED_EXISTENCE", start=34, end=40),),
    abstained="nothing fits",
)
NOTE = CodedNote(
    note=Note(text=TEXT, id="[n]"),
    entities=(DIABETES, PAIN),
    remarks=(Remark(kind="excludes1", codes=("a", "b"), text="a and [b] exclude each other"),),
)


def _printed(coded: CodedNote, *, terminal: bool = False) -> str:
    file = io.StringIO()
    Console(file=file, width=200, force_terminal=terminal, color_system="standard" if terminal else None).print(
        explanation(coded)
    )
    return file.getvalue()


def test_everything_that_a_coder_asks_for() -> None:
    assert TEXT[12:16] == "T2DM"
    printed = _printed(NOTE)
    for words in (
        "[n]",
        "T2DM  at 12-16, disease, section history_of_present_illness",
        "Has [b][T2DM] and CKD stage 3.",
        "icd10cm E11.22 with [i]kidney disease  (version 2026, score 0.95, mapped: Type 2 diabetes)",
        "E11.9 because the text is a name [name]",
        "E11.9 -> E11.22 because the note says CKD [combination]",
        "E11.22 stays because nothing more is told [detail]",
        "pain  at 41-45, symptom, no section",
        'assertion: negated, because of "Denies" at 34-40',
        "no code: nothing fits",
        "Excludes1: a and [b] exclude each other",
    ):
        assert words in printed, words


def test_the_three_best_that_were_not_chosen() -> None:
    printed = _printed(NOTE)
    assert [word for word in ("lost 0.9", "lost 0.8", "lost 0.7", "below") if word in printed] == [
        "lost 0.9",
        "lost 0.8",
        "lost 0.7",
    ]
    assert "chosen" not in printed


def test_colour_is_for_terminals() -> None:
    assert "\x1b[" not in _printed(NOTE)
    assert "\x1b[" in _printed(NOTE, terminal=True)


@pytest.mark.parametrize("text", ["", "Nothing of note."])
def test_a_note_without_entities(text: str) -> None:
    assert _printed(CodedNote(note=Note(text=text))).strip() == ""


def test_json_has_the_same_reasons(coder: Coder) -> None:
    coded = coder(Note(text="Type 2 diabetes and CKD stage 3. Prostate cancer.", sex="female"))
    data = as_dict(coded)
    printed = " ".join(_printed(coded).split())
    for entity in data["entities"]:
        for coding in entity["codings"]:
            assert all(" ".join(step["reason"].split()) in printed for step in coding["steps"])
    remarks = [remark["text"] for remark in data["remarks"]]
    assert remarks
    assert all(" ".join(text.split()) in printed for text in remarks)
    (cancer,) = [entity for entity in data["entities"] if entity["text"] == "Prostate cancer"]
    assert any("male patients only" in candidate["reason"] for candidate in cancer["candidates"])
