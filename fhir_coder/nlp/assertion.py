"""What the text says of an entity: medspaCy's ConText (Harkema et al. 2009) per sentence, then the section.

Only sentences that hold entities are tokenised, each by itself: a cue never reaches beyond its sentence, and
ConText's cost, quadratic in its cues, stays bounded however long the note is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import Any

from loguru import logger

# PyRuSH, which medspaCy imports, logs the text that it reads.
logger.disable("PyRuSH")

import re2  # noqa: E402
import spacy  # noqa: E402
from medspacy.context import ConText, ConTextGraph, ConTextModifier, ConTextRule  # noqa: E402
from spacy.matcher import PhraseMatcher  # noqa: E402
from spacy.tokens import Doc, Span  # noqa: E402

from fhir_coder.errors import TableError  # noqa: E402
from fhir_coder.model import PROBLEM_TYPES, Assertion, Certainty, EntityType, Temporality  # noqa: E402
from fhir_coder.nlp.sentences import ITEM_MARK  # noqa: E402
from fhir_coder.tables import read_table, split  # noqa: E402

_DIRECTIONS = frozenset({"FORWARD", "BACKWARD", "BIDIRECTIONAL", "TERMINATE", "PSEUDO"})
_CATEGORIES = frozenset(
    "NEGATED_EXISTENCE POSSIBLE_EXISTENCE HYPOTHETICAL HISTORICAL FAMILY FUTURE ALLERGY TERMINATE".split()
)
_HISTORICAL_SECTIONS = frozenset({"past_medical_history", "past_surgical_history"})
# What a past history says is over; a device that was placed is still there.
_PASSING = PROBLEM_TYPES | {EntityType.PROCEDURE}
_WORD = re.compile(r"[a-z]+")
_LONGEST_RELATIVE = 3  # words: "maternal great aunt"
_ITEM = re.compile(rf"(?<=\n)[ \t]*{ITEM_MARK}")
_SPACE = re.compile(r"\s")


@dataclass(frozen=True, slots=True)
class Target:
    """An entity to be asserted: its span, type, section, and whether its concept is chronic."""

    start: int
    end: int
    type: EntityType
    section: str | None
    chronic: bool


@dataclass(frozen=True, slots=True)
class Asserted:
    """What is asserted of an entity; the relative, when it is a relative's; whether it is something not tolerated."""

    assertion: Assertion
    relative: str | None = None
    allergy: bool = False


class Assertions:
    """The ConText rules, compiled once. Not to be shared between threads."""

    def __init__(self) -> None:
        self._nlp = spacy.blank("en")
        context = ConText(self._nlp, rules=None, span_attrs=None)  # registers its extensions of spaCy
        rules = [*_default_rules(context.DEFAULT_RULES_FILEPATH), *_own_rules()]
        self._rules = {str(rank): rule for rank, rule in enumerate(rules)}
        # Cues are matched here and not by medspaCy, whose token patterns and regular expressions take 30 of the 40 ms
        # that a note may take, and whose pruning lets a shorter cue ("no") survive a longer one ("no increase in")
        # when three overlap (medspaCy 1.3.1). Scopes are medspaCy's.
        self._phrases = PhraseMatcher(self._nlp.vocab, attr="LOWER")
        self._patterns = _Patterns()
        for rank, rule in self._rules.items():
            if isinstance(rule.pattern, str):
                self._patterns.add(int(rank), rule.pattern)
            elif rule.pattern:
                self._phrases.add(rank, [Doc(self._nlp.vocab, words=words) for words in _spelt_out(rule.pattern)])
            else:
                self._phrases.add(rank, [self._nlp.make_doc(rule.literal.lower())])
        self._patterns.compile()

    def read(self, text: str, sentence: tuple[int, int], targets: Sequence[Target]) -> list[Asserted]:
        """Return what a sentence of `text` asserts of each of the entities in it."""
        start, end = sentence
        # White space and the marks of list items are made plain, one character for one, so that cues match over line
        # breaks, and a dash that begins an item ends no cue's scope.
        unlisted = _ITEM.sub(lambda item: " " * len(item.group()), text[start:end])
        plain = _SPACE.sub(" ", unlisted)
        doc = self._nlp.make_doc(plain)
        spans = [_span(doc, target.start - start, target.end - start, target.type) for target in targets]
        doc[0].is_sent_start = True
        for token in doc[1:]:
            token.is_sent_start = False
        graph = ConTextGraph(targets=spans, modifiers=self._modifiers(doc, plain))
        graph.update_scopes()
        graph.apply_modifiers()
        # By place and not by entity: two entities may share a token, and then share its cues.
        cues: dict[tuple[int, int], set[str]] = {(span.start, span.end): set() for span in spans}
        for span, modifier in graph.edges:
            cues[span.start, span.end].add(modifier.category)
        return [
            _by_section(_by_cues(cues[span.start, span.end], plain[: target.start - start], plain), target)
            for span, target in zip(spans, targets, strict=True)
        ]

    def _modifiers(self, doc: Doc, text: str) -> list[ConTextModifier]:
        """Return the cues of a sentence: of those that overlap the longest, of equally long ones our own."""
        names = self._nlp.vocab.strings
        found = [(start - end, -int(names[rank]), start, end) for rank, start, end in self._phrases(doc)]
        for rank, start, end in self._patterns.find(text):
            span = _span(doc, start, end)
            found.append((-len(span), -rank, span.start, span.end))
        taken: set[int] = set()
        modifiers = []
        for _, order, start, end in sorted(found):
            if taken.isdisjoint(range(start, end)):
                taken.update(range(start, end))
                modifiers.append(ConTextModifier(self._rules[str(-order)], start, end, doc))
        return modifiers


def _span(doc: Doc, start: int, end: int, label: str = "") -> Span:
    """Return the tokens that hold the characters `start`:`end`; rules may ask for the label."""
    span = doc.char_span(start, end, label=label, alignment_mode="expand")
    return doc[0:0] if span is None else span  # None only for no characters at all


class _Patterns:
    """The rules that are regular expressions. One pass of re2 tells which of them a sentence can match at all."""

    def __init__(self) -> None:
        self._patterns: list[tuple[int, re.Pattern[str]]] = []
        self._always: list[int] = []  # positions of those that look around, which re2 does not know
        self._filter = re2.Set.SearchSet()
        self._filtered: list[int] = []

    def add(self, rank: int, pattern: str) -> None:
        """Add a rule's pattern; case does not matter."""
        position = len(self._patterns)
        self._patterns.append((rank, re.compile(pattern, re.IGNORECASE)))
        if any(looking in pattern for looking in ("(?=", "(?!", "(?<")):
            self._always.append(position)
        else:
            self._filter.Add(f"(?i){pattern}")
            self._filtered.append(position)

    def compile(self) -> None:
        """Make the filter ready, after the last `add`."""
        self._filter.Compile()

    def find(self, text: str) -> Iterator[tuple[int, int, int]]:
        """Yield (rank, start, end) of every match in a text."""
        possible = [self._filtered[index] for index in self._filter.Match(text) or ()]
        for position in (*self._always, *possible):
            rank, pattern = self._patterns[position]
            for match in pattern.finditer(text):
                yield rank, match.start(), match.end()


def _spelt_out(pattern: list[dict[str, Any]]) -> Iterator[list[str]]:
    """Yield the phrases of a token pattern whose tokens are words, lists of words, or either and optional.

    Raises `TableError` for any other pattern: a later medspaCy may bring some.
    """
    choices = []
    for token in pattern:
        lower, optional = token.get("LOWER"), token.get("OP")
        words = lower["IN"] if isinstance(lower, dict) and set(lower) == {"IN"} else [lower]
        if set(token) - {"LOWER", "OP"} or optional not in (None, "?") or not all(isinstance(w, str) for w in words):
            raise TableError(f"medspaCy's ConText rules hold a token pattern that is not understood: {token}")
        choices.append([*words, ""] if optional else words)
    for words in product(*choices):
        yield [word for word in words if word]


def _default_rules(path: str) -> list[ConTextRule]:
    """Return medspaCy's English rules without those that `mappings/context_rules_removed.csv` takes out."""
    columns = ("literal", "category", "reason")
    removed = {(row["literal"], row["category"]) for row in read_table("context_rules_removed.csv", columns)}
    return [rule for rule in ConTextRule.from_json(path) if (rule.literal, rule.category) not in removed]


def _by_cues(categories: set[str], before: str, sentence: str) -> Asserted:
    family = "FAMILY" in categories
    certainty: Certainty = "certain"
    if "HYPOTHETICAL" in categories:
        certainty = "hypothetical"
    elif "POSSIBLE_EXISTENCE" in categories:
        certainty = "possible"
    temporality: Temporality = "current"
    if "HISTORICAL" in categories:
        temporality = "historical"
    elif "FUTURE" in categories:
        temporality = "future"
    return Asserted(
        Assertion(
            negated="NEGATED_EXISTENCE" in categories,
            certainty=certainty,
            temporality=temporality,
            experiencer="family" if family else "patient",
        ),
        relative=(_relative(before) or _relative(sentence)) if family else None,
        allergy="ALLERGY" in categories,
    )


def _by_section(asserted: Asserted, target: Target) -> Asserted:
    """Add what the section says: family history is the family's, past history is past.

    A chronic disease that is listed in the past medical history, without a word that puts it in the past, is a
    disease the patient has: "PMH: hypertension" does not mean that it is over.
    """
    assertion = asserted.assertion
    if target.section == "family_history" and target.type in PROBLEM_TYPES:
        assertion = replace(assertion, experiencer="family")
    if target.section in _HISTORICAL_SECTIONS and target.type in _PASSING and not target.chronic:
        assertion = replace(assertion, temporality="historical")
    if target.section == "instructions" and target.type is EntityType.SYMPTOM and assertion.certainty == "certain":
        assertion = replace(assertion, certainty="hypothetical")
    return replace(asserted, assertion=assertion, allergy=asserted.allergy or target.section == "allergies")


def _relative(text: str) -> str | None:
    """Return the relative that a text names last, or None: "father with stones; mother had" speaks of the mother."""
    relatives = _relatives()
    words = _WORD.findall(text.lower())
    for end in range(len(words), 0, -1):
        for length in range(_LONGEST_RELATIVE, 0, -1):
            found = relatives.get(" ".join(words[max(0, end - length) : end]))
            if found:
                return found
    return None


@cache
def _relatives() -> dict[str, str]:
    rows = read_table("family_relationships.csv", ("code", "display", "names"))
    return {name.lower(): row["display"] for row in rows for name in (row["display"], *split(row["names"]))}


def _own_rules() -> list[ConTextRule]:
    """Return the rules of `mappings/context_rules.csv`, to be added to those of medspaCy.

    Raises `TableError` when a row has an unknown category, direction, type, or a pattern that is no regular expression.
    """
    columns = ("literal", "category", "direction", "pattern", "targets", "max_scope")
    rules = []
    for row in read_table("context_rules.csv", columns):
        try:
            if row["category"] not in _CATEGORIES or row["direction"] not in _DIRECTIONS:
                raise ValueError(f"unknown category or direction {row['category']} {row['direction']}")
            re.compile(row["pattern"])
            rules.append(
                ConTextRule(
                    row["literal"],
                    row["category"],
                    direction=row["direction"],
                    pattern=row["pattern"] or None,
                    allowed_types={EntityType(name).value for name in split(row["targets"])} or None,
                    max_scope=int(row["max_scope"]) if row["max_scope"] else None,
                )
            )
        except (ValueError, re.error) as error:
            raise TableError(f"mappings/context_rules.csv: {row['literal']}: {error}") from error
    return rules
