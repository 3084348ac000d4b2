"""brat standoff: a folder of `name.txt` with `name.ann` beside it (https://brat.nlplab.org/standoff.html).

Read are T lines (spans, also discontinuous ones), E lines (an event is its trigger, a span) and A lines (attributes of
spans and events) that assert something by `mappings/corpus_assertions.csv`. Relations (R, *), notes (#) and
normalisations (N, as codes) hold no spans. If any file of the folder has such an attribute, the corpus says of every
span of the labels that bear it what is asserted: a span without one is simply present.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from fhir_coder.corpora.annotated import AnnotatedNote
from fhir_coder.corpora.labels import is_assertion, read_assertion
from fhir_coder.corpora.source import Marked, Rules, files_in, note, numbered_lines, read_text

_SPANS = re.compile(r"(\S+) ([0-9]{1,9} [0-9]{1,9}(?:;[0-9]{1,9} [0-9]{1,9})*)")
_EVENT = re.compile(r"([^\s:]+):(T\S+)(?: .*)?")


def read(path: Path, rules: Rules) -> Iterator[AnnotatedNote]:
    """Yield the notes of a folder. Raises `CorpusError`."""
    files = files_in(path, "*.ann")
    asserted = _labels_with_assertions(files)
    for file in files:
        text = read_text(file.with_suffix(".txt"))
        found = [rules.annotation(text, marked, place) for marked, place in _marked(file, rules, asserted)]
        yield note(file.stem, text, found, f"{file.stem}.txt")


def _marked(file: Path, rules: Rules, asserted: frozenset[str]) -> list[tuple[Marked, str]]:
    spans: dict[str, tuple[Marked, str]] = {}
    triggers: dict[str, str] = {}  # event -> the span that it is
    attributes: dict[str, list[tuple[str, str]]] = {}
    codes: dict[str, list[str]] = {}
    for number, line in numbered_lines(file):
        place = f"{file.name}:{number}"
        id_, _, rest = line.partition("\t")
        kind = line[:1]
        if kind == "T":
            if (marked := _span(rest)) is None:
                rules.refuse("not a span: expected T1 TAB label start end TAB words", place)
            else:
                spans[id_] = (marked, place)
        elif kind == "E" and (event := _EVENT.fullmatch(rest.strip())):
            triggers[id_] = event[2]
        elif kind in ("A", "M"):
            name, _, said = rest.strip().partition(" ")
            target, _, value = said.partition(" ")
            attributes.setdefault(target, []).append((name, value))
        elif kind == "N":
            words = rest.split("\t")[0].split(" ")
            if len(words) == 3:
                codes.setdefault(words[1], []).append(words[2])
        elif kind not in ("", "R", "*", "#", "E", "\ufeff"):
            rules.refuse("a line of no kind that brat has (T, E, A, M, R, N, *, #)", place)
    said_of: dict[str, list[tuple[str, str]]] = {}
    for target, pairs in attributes.items():
        said_of.setdefault(triggers.get(target, target), []).extend(pairs)
    return [
        (
            replace(
                marked,
                codes=tuple(codes.get(id_, ())),
                assertion=read_assertion(said_of.get(id_, ())) if marked.label in asserted else None,
            ),
            place,
        )
        for id_, (marked, place) in spans.items()
    ]


def _span(rest: str) -> Marked | None:
    head, _, written = rest.partition("\t")
    if not (match := _SPANS.fullmatch(head)):
        return None
    pieces = tuple((int(piece.split(" ")[0]), int(piece.split(" ")[1])) for piece in match[2].split(";"))
    return Marked(
        start=min(start for start, _ in pieces),
        end=max(end for _, end in pieces),
        label=match[1],
        written=written,
        pieces=pieces,
    )


def _labels_with_assertions(files: list[Path]) -> frozenset[str]:
    """Return the labels that bear an attribute which asserts something, anywhere in the folder."""
    labels: set[str] = set()
    for file in files:
        bearers: dict[str, str] = {}
        targets: set[str] = set()
        for _, line in numbered_lines(file):
            id_, _, rest = line.partition("\t")
            if line.startswith("T"):
                bearers[id_] = rest.split(" ", 1)[0]
            elif line.startswith("E"):
                bearers[id_] = rest.split(":", 1)[0]
            elif line.startswith(("A", "M")) and is_assertion(rest.split(" ", 1)[0]):
                targets.add(rest.split(" ")[1].strip() if " " in rest else "")
        labels |= {bearers[target] for target in targets if target in bearers}
    return frozenset(labels)
