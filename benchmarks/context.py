"""Measure assertion on the NegEx/ConText development sentences, against medspaCy's own rules in the same run.

Run: .venv/bin/python benchmarks/context.py. Needs `corpora/negex` of the references (FHIR_CODER_REFERENCES, else
../shared/data). The rules under `mappings/` were written with these sentences in view: unseen text will do worse.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Callable
from pathlib import Path

import spacy
from medspacy.context import ConText
from rich.console import Console
from rich.table import Table

from fhir_coder.model import Assertion, EntityType
from fhir_coder.nlp.assertion import Assertions, Target

REFERENCES = Path(os.environ.get("FHIR_CODER_REFERENCES", Path(__file__).resolve().parents[2] / "shared" / "data"))
Said = tuple[bool, bool, bool]  # negated, historical, of someone else
Reader = Callable[[str, int, int], Said]


def rows(path: Path) -> list[tuple[str, int, int, Said]]:
    """Return (sentence, start, end, gold) of every annotated concept that stands in its sentence."""
    found = []
    with path.open(encoding="utf-8", errors="replace", newline="") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            concept, sentence = row["concept"], row["sentence"]
            start = sentence.lower().find(concept.lower())
            if start >= 0:
                gold = (
                    row["negation"] == "Negated",
                    row["temporality"] == "Historical",
                    row["experiencer"] != "Patient",
                )
                found.append((sentence, start, start + len(concept), gold))
    return found


def ours() -> Reader:
    """Return the rules of this project."""
    assertions = Assertions()

    def read(sentence: str, start: int, end: int) -> Said:
        target = Target(start, end, EntityType.DISEASE, section=None, chronic=False)
        assertion: Assertion = assertions.read(sentence, (0, len(sentence)), [target])[0].assertion
        return assertion.negated, assertion.temporality == "historical", assertion.experiencer != "patient"

    return read


def medspacy_alone() -> Reader:
    """Return medspaCy's ConText with its own rules."""
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    context = ConText(nlp, input_span_type="group")

    def read(sentence: str, start: int, end: int) -> Said:
        doc = nlp(sentence)
        span = doc.char_span(start, end, label="disease", alignment_mode="expand")
        doc.spans["medspacy_spans"] = [span]
        context(doc)
        return span._.is_negated, span._.is_historical, span._.is_family

    return read


def main() -> int:
    """Measure and print; exit status 0, also when there is nothing to measure."""
    path = REFERENCES / "corpora" / "negex" / "context_dev.tsv"
    if not path.exists():
        print(f"nothing measured: {path.name} is not in the references", file=sys.stderr)
        return 0
    annotated = rows(path)
    table = Table(title=f"{len(annotated)} sentences of {path.name}: share that is right", title_justify="left")
    for column in ("rules", "negation", "F1 of negated", "historical", "experiencer"):
        table.add_column(column, justify="left" if column == "rules" else "right")
    for name, reader in {"fhir_coder": ours(), "baseline: medspaCy alone": medspacy_alone()}.items():
        said = [reader(sentence, start, end) for sentence, start, end, _ in annotated]
        pairs = [(found, gold) for found, (*_, gold) in zip(said, annotated, strict=True)]
        right = [sum(found[i] == gold[i] for found, gold in pairs) / len(pairs) for i in range(3)]
        both = sum(found[0] and gold[0] for found, gold in pairs)
        f1 = 2 * both / sum(found[0] + gold[0] for found, gold in pairs)
        table.add_row(name, f"{right[0]:.3f}", f"{f1:.3f}", f"{right[1]:.3f}", f"{right[2]:.3f}")
    Console(width=100).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
