"""Targets: what may be said of a word, by corpora that do not annotate the same."""

from __future__ import annotations

from fhir_coder.corpora.annotated import AnnotatedNote, Annotation
from fhir_coder.model import EntityType
from fhir_coder.training.targets import Targets, corpus

TYPES = (EntityType.DISEASE, EntityType.SYMPTOM, EntityType.PROCEDURE, EntityType.LAB_TEST)


def _note(text: str, *marks: tuple[str, str, EntityType | None]) -> AnnotatedNote:
    found = (
        Annotation(start=text.index(mark), end=text.index(mark) + len(mark), label=label, type=type_)
        for mark, label, type_ in marks
    )
    return AnnotatedNote(id="1", text=text, annotations=tuple(found))


def _allowed(note: AnnotatedNote, *others: AnnotatedNote) -> dict[str, set[str]]:
    targets = Targets(TYPES)
    (marked,) = targets.of(note, corpus("c", [note, *others]))
    table = targets.table()
    return {
        word.strip(): {name for name, is_allowed in zip(targets.names, table[target] > -1e9, strict=True) if is_allowed}
        for word, target in zip(marked.words.texts, marked.targets, strict=True)
    }


def test_what_a_corpus_does_not_annotate_is_not_held_against_the_model() -> None:
    allowed = _allowed(_note("biopsy showed lung cancer", ("lung cancer", "Disease", EntityType.DISEASE)))
    # Diseases without symptoms: this corpus marks symptoms as diseases.
    assert allowed["lung"] == {"B-disease", "B-symptom"}
    assert allowed["cancer"] == {"I-disease", "I-symptom"}
    assert allowed["biopsy"] == {"O", "B-procedure", "I-procedure", "B-lab-test", "I-lab-test"}


def test_a_corpus_that_marks_both_means_both() -> None:
    pain = _note("pain", ("pain", "Sign_symptom", EntityType.SYMPTOM))
    allowed = _allowed(_note("asthma today", ("asthma", "Disease_disorder", EntityType.DISEASE)), pain)
    assert allowed["asthma"] == {"B-disease"}
    assert "B-symptom" not in allowed["today"]


def test_coarse_and_unsure_labels() -> None:
    """A Diagnostic_procedure may be a test or a procedure; a History may hold anything, also nothing."""
    ct = ("CT", "Diagnostic_procedure", EntityType.PROCEDURE)
    allowed = _allowed(_note("CT after old stroke", ct, ("old stroke", "History", None)))
    assert allowed["CT"] == {"B-procedure", "B-lab-test"}
    assert allowed["stroke"] == set(Targets(TYPES).names)
    assert "B-procedure" not in allowed["after"]
