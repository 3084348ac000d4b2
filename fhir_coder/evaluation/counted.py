"""Which types an evaluation counts, and which of them as one: only what the corpus annotates and tells apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from fhir_coder.corpora.annotated import AnnotatedNote
from fhir_coder.corpora.labels import label_types
from fhir_coder.model import PROBLEM_TYPES, EntityType

Problems = Literal["auto", "one", "apart"]
PROBLEM = "problem"


def counted_types(notes: Iterable[AnnotatedNote], problems: Problems = "auto") -> Mapping[EntityType, str]:
    """Return the types that count, each with the name under which it does; a type that is not there is left out.

    Types are counted as one where a label of the corpus means several (`mappings/corpus_labels.csv`). Disease and
    symptom are: always ("one"), never ("apart"), or ("auto") where the corpus annotates only one of them: BC5CDR, NCBI
    Disease and BioRED annotate signs and symptoms as Disease, so a symptom found there is not false.
    """
    labels = {(one.label, one.type) for note in notes for one in note.annotations if one.type is not None}
    groups = [{type_} for _, type_ in labels if type_]
    annotated = {type_ for _, type_ in labels}
    for label, type_ in labels:
        meant = label_types().get(label.casefold(), ())
        if meant and meant[0] == type_ and not (problems == "apart" and PROBLEM_TYPES.issuperset(meant)):
            groups.append(set(meant))
    if annotated & PROBLEM_TYPES and (
        problems == "one" or (problems == "auto" and len(annotated & PROBLEM_TYPES) == 1)
    ):
        groups.append(set(PROBLEM_TYPES))
    names = {type_: _name(group) for group in _joined(groups) for type_ in group}
    return {type_: names[type_] for type_ in EntityType if type_ in names}


def _joined(groups: list[set[EntityType]]) -> list[set[EntityType]]:
    joined: list[set[EntityType]] = []
    for group in groups:
        touching = [other for other in joined if other & group]
        joined = [other for other in joined if not other & group]
        joined.append(group.union(*touching))
    return joined


def _name(group: set[EntityType]) -> str:
    return PROBLEM if group == PROBLEM_TYPES else "/".join(type_ for type_ in EntityType if type_ in group)
