"""What the labels and attributes of corpora mean here, by `mappings/corpus_labels.csv` and `corpus_assertions.csv`.

A label that means several types (a Diagnostic_procedure of MACCROBAT is an examination, a laboratory test or a vital
sign) is read as the first; an evaluation counts the others as that one, for the corpus does not tell them apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import get_args

from fhir_coder.errors import TableError
from fhir_coder.model import Assertion, Certainty, EntityType, Experiencer, Temporality
from fhir_coder.tables import read_table, split

LABELS = "corpus_labels.csv"
ASSERTIONS = "corpus_assertions.csv"
_MEANINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "negated": ("true", "false"),
        "certainty": get_args(Certainty),
        "temporality": get_args(Temporality),
        "experiencer": get_args(Experiencer),
    }
)


@cache
def label_types() -> Mapping[str, tuple[EntityType, ...]]:
    """Return label in small letters -> the types it may mean, the first of which it is read as; () for none.

    Raises `TableError`.
    """
    types: dict[str, tuple[EntityType, ...]] = {}
    for line, row in enumerate(read_table(LABELS, ("corpus", "label", "type")), 2):
        label = row["label"].casefold()
        if not label or label in types:
            raise TableError(f"mappings/{LABELS}:{line}: the label is {'there already' if label else 'empty'}")
        try:
            types[label] = tuple(EntityType(name) for name in split(row["type"]))
        except ValueError as error:
            raise TableError(f"mappings/{LABELS}:{line}: {error}; use {', '.join(EntityType)}") from error
    return MappingProxyType(types)


@cache
def assertion_values() -> Mapping[tuple[str, str], tuple[str, str]]:
    """Return (attribute, value) in small letters -> (axis of Assertion, meaning).

    Raises `TableError`.
    """
    values: dict[tuple[str, str], tuple[str, str]] = {}
    columns = ("corpus", "attribute", "value", "axis", "meaning")
    for line, row in enumerate(read_table(ASSERTIONS, columns), 2):
        key = (row["attribute"].casefold(), row["value"].casefold())
        if key in values:
            raise TableError(f"mappings/{ASSERTIONS}:{line}: attribute and value are there already")
        if row["meaning"] not in _MEANINGS.get(row["axis"], ()):
            raise TableError(f"mappings/{ASSERTIONS}:{line}: axis and meaning are none of Assertion's")
        values[key] = (row["axis"], row["meaning"])
    return MappingProxyType(values)


def is_assertion(attribute: str) -> bool:
    """Whether an attribute of this name is one of those that say what is asserted."""
    return any(name == attribute.casefold() for name, _ in assertion_values())


def read_assertion(attributes: Iterable[tuple[str, str]]) -> Assertion:
    """Return what (attribute, value) pairs assert; pairs that are not in the table assert nothing."""
    values = assertion_values()
    said = dict(filter(None, (values.get((name.casefold(), value.casefold())) for name, value in attributes)))
    return Assertion(
        negated=said.get("negated") == "true",
        certainty=said.get("certainty", "certain"),  # type: ignore[arg-type]  # the table is checked
        temporality=said.get("temporality", "current"),  # type: ignore[arg-type]
        experiencer=said.get("experiencer", "patient"),  # type: ignore[arg-type]
    )
