"""What the text says of an entity: ConText (Harkema et al. 2009, after NegEx, Chapman et al. 2001) per sentence,
then the section.

The rules are medspaCy's and those of `mappings/context_rules.csv`. A rule's cue ("denies") reaches forward or backward
to the end of its sentence, or so many tokens far, until a terminating cue ("but") or another cue of its kind; what
stands in its reach has the rule's category. Only sentences that hold entities are tokenised, each by itself.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import distribution
from itertools import product
from pathlib import Path
from typing import Any

import orjson
import re2

from fhir_coder.errors import TableError
from fhir_coder.model import PROBLEM_TYPES, Assertion, Certainty, Cue, EntityType, Experiencer, Temporality
from fhir_coder.nlp.light_spacy import Doc, PhraseMatcher, spacy
from fhir_coder.nlp.relatives import back_at_patient, last_relative
from fhir_coder.nlp.sentences import ITEM_MARK
from fhir_coder.tables import read_table, split

_DIRECTIONS = frozenset({"FORWARD", "BACKWARD", "BIDIRECTIONAL", "TERMINATE", "PSEUDO"})
# DATED is historical unless the disease is a chronic one; OTHER is neither the patient nor a relative by blood.
_CATEGORIES = frozenset(
    "NEGATED_EXISTENCE POSSIBLE_EXISTENCE HYPOTHETICAL HISTORICAL DATED FAMILY OTHER FUTURE ALLERGY TERMINATE".split()
)
# What only a terminating cue of its own ends: "if she has pain; but also fever", "mother has asthma and has gout",
# "allergic to penicillin; sulfa".
_LASTING = frozenset({"HYPOTHETICAL", "FAMILY", "OTHER", "ALLERGY"})
# Whose terminating cues end all other categories too: behind "but has" nothing goes on.
_FINAL = ("NEGATED_EXISTENCE", "POSSIBLE_EXISTENCE", "HISTORICAL")
_HISTORICAL_SECTIONS = frozenset({"past_medical_history", "past_surgical_history"})
# What a past history says is over; a device that was placed is still there.
_PASSING = PROBLEM_TYPES | {EntityType.PROCEDURE}
_OPENING, _CLOSING = frozenset("(["), frozenset(")]")
_ITEM = re.compile(rf"(?<=\n)[ \t]*{ITEM_MARK}")
_SPACE = re.compile(r"[^\S\t]")
_BLANKS = re.compile(r"\s+")
_LOOKING = frozenset({"(?=", "(?!", "(?<=", "(?<!"})
_PIECE = re.compile(r"\\.|\[\^?(?:\\.|[^\\\]])+\]|\(\?<?[=!]|[()]|[^\\\[()]+")  # of a regular expression


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
    cues: tuple[Cue, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    literal: str  # the cue, or the name of its pattern
    category: str
    direction: str
    pattern: str | list[dict[str, Any]] | None = None  # a regular expression, or tokens; None: the literal is the cue
    types: frozenset[str] | None = None  # of entities that it speaks of; None: of all
    max_scope: int | None = None  # tokens; None: to the end of the sentence


@dataclass(slots=True)
class _Cue:
    """A rule's words in a sentence, and the tokens they reach."""

    rule: _Rule
    start: int
    end: int
    reach: tuple[int, int] = (0, 0)

    def speaks_of(self, start: int, end: int, type_: EntityType) -> bool:
        """Tell whether an entity is in reach; never when the cue is among its words ("migraine without aura")."""
        return (
            self.reach[0] < end
            and start < self.reach[1]
            and (end <= self.start or self.end <= start)
            and (self.rule.types is None or type_ in self.rule.types)
        )


class Assertions:
    """The ConText rules, compiled once. Not to be shared between threads."""

    def __init__(self) -> None:
        self._nlp = spacy.blank("en")
        # "+cough -fever": spaCy takes a sign for a part of the word.
        prefixes = [*(self._nlp.Defaults.prefixes or ()), r"[-+](?=[A-Za-z])"]
        tokenizer: Any = self._nlp.tokenizer
        tokenizer.prefix_search = spacy.util.compile_prefix_regex(prefixes).search
        suffixes = [*(self._nlp.Defaults.suffixes or ()), r"(?<=[A-Za-z])[-+]"]  # "dizziness-, numbness+"
        tokenizer.suffix_search = spacy.util.compile_suffix_regex(suffixes).search
        self._rules = [*_default_rules(), *_own_rules()]
        self._phrases = PhraseMatcher(self._nlp.vocab, attr="LOWER")
        self._patterns = _Patterns()
        for rank, rule in enumerate(self._rules):
            if isinstance(rule.pattern, str):
                self._patterns.add(rank, rule.pattern)
            elif rule.pattern:
                self._phrases.add(str(rank), [Doc(self._nlp.vocab, words=words) for words in _spelt_out(rule.pattern)])
            else:
                self._phrases.add(str(rank), [self._nlp.make_doc(rule.literal.lower())])
        self._patterns.compile()

    def read(self, text: str, sentence: tuple[int, int], targets: Sequence[Target]) -> list[Asserted]:
        """Return what a sentence of `text` asserts of each of the entities in it."""
        begin, end = sentence
        # White space and the marks of list items are made plain, one character for one, so that cues match over line
        # breaks, and a dash that begins an item ends no cue's scope. Tabs tell columns apart.
        unlisted = _ITEM.sub(lambda item: " " * len(item.group()), text[begin:end])
        plain = _SPACE.sub(" ", unlisted)
        tokens = _Tokens(self._nlp, plain)
        cues = self._cues(tokens, plain)
        _set_reach(cues, len(tokens), tokens.bracket_ends())
        has_family = any(cue.rule.category == "FAMILY" for cue in cues)
        asserted = []
        for target in targets:
            first, last = tokens.span(target.start - begin, target.end - begin)
            before = plain[: target.start - begin]
            back = back_at_patient(before) if has_family or target.section == "family_history" else 0
            heard = [
                cue
                for cue in cues
                if cue.speaks_of(first, last, target.type)
                and not (cue.rule.category == "FAMILY" and tokens.characters(cue.start, cue.end)[0] < back)
            ]
            categories = {cue.rule.category for cue in heard}
            said = _by_cues(categories, before, plain, target.chronic)
            places = [(cue.rule.category, *tokens.characters(cue.start, cue.end)) for cue in heard]
            told = tuple(Cue(category=name, start=begin + start, end=begin + end) for name, start, end in places)
            asserted.append(replace(_by_section(said, target, is_back=back > 0), cues=told))
        return asserted

    def _cues(self, tokens: _Tokens, text: str) -> list[_Cue]:
        """Return the cues of a sentence in order: of those that overlap the longest, of equally long ones our own.

        The same words may be cues for several types of entities, each with a reach of its own; and what is not
        tolerated is another question than what is denied, with words of its own.
        """
        names = self._nlp.vocab.strings
        found = [(start - end, -int(names[name]), start, end) for name, start, end in self._phrases(tokens.doc)]
        for rank, start, end in self._patterns.find(text):
            first, last = tokens.span(start, end)
            found.append((first - last, -rank, first, last))
        taken: dict[bool, set[int]] = {True: set(), False: set()}  # by cues of ALLERGY, and by the others
        types: dict[tuple[int, int], frozenset[str]] = {}  # that the cues of these words speak of
        cues = []
        for _, order, start, end in sorted(found):
            rule = self._rules[-order]
            others = types.get((start, end), frozenset())
            is_of_others = bool(others and rule.types) and others.isdisjoint(rule.types or ())
            known = taken[rule.category == "ALLERGY"]
            if start < end and (known.isdisjoint(range(start, end)) or is_of_others):
                known.update(range(start, end))
                types[start, end] = others | (rule.types or frozenset())
                cues.append(_Cue(rule, start, end))
        return sorted(cues, key=lambda cue: cue.start)


class _Tokens:
    """The tokens of a sentence, of which white space is none."""

    def __init__(self, nlp: spacy.language.Language, text: str) -> None:
        squeezed = _BLANKS.sub(" ", text)
        self.doc = nlp.make_doc(squeezed)
        places = self.doc.to_array(["IDX", "LENGTH"])
        starts, ends = places[:, 0].tolist(), places.sum(axis=1).tolist()
        if len(squeezed) < len(text):
            origin = [
                at for at, character in enumerate(text) if not (character.isspace() and text[at - 1].isspace() and at)
            ]
            starts, ends = [origin[start] for start in starts], [origin[end - 1] + 1 for end in ends]
        self._starts, self._ends = starts, ends

    def __len__(self) -> int:
        return len(self._starts)

    def bracket_ends(self) -> list[int]:
        """Return, for each token in brackets, the one that closes them, and for every other the number of tokens."""
        texts = [token.text for token in self.doc]
        opened: list[int] = []
        closing: dict[int, int] = {}  # brackets that are closed
        for place, text in enumerate(texts):
            if text in _OPENING:
                opened.append(place)
            elif text in _CLOSING and opened:
                closing[opened.pop()] = place
        ends, around = [], [len(texts)]
        for place in range(len(texts)):
            if place == around[-1]:
                around.pop()
            ends.append(around[-1])
            if place in closing:
                around.append(closing[place])
        return ends

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the tokens that hold the characters `start`:`end`, as first and behind the last."""
        return bisect_right(self._ends, start), bisect_left(self._starts, end)

    def characters(self, first: int, last: int) -> tuple[int, int]:
        """Return where the tokens from `first` to the one before `last` start and end."""
        return self._starts[first], self._ends[last - 1]


def _set_reach(cues: Sequence[_Cue], tokens: int, bracket_ends: Sequence[int]) -> None:
    """Let every cue reach as far as its rule says, to the next cue of its kind, or to a terminating one.

    What is said in brackets does not go on behind them: "furosemide (has not taken it), metoprolol".
    """
    nearest: dict[object, int] = {}
    outside: dict[object, int] = {}  # brackets: what stands in them ends the reach of none before them
    for cue in reversed(cues):
        is_outside = bracket_ends[cue.start] == tokens
        if cue.rule.direction in ("FORWARD", "BIDIRECTIONAL"):
            last = min(_stop(outside if is_outside else nearest, cue.rule, tokens), bracket_ends[cue.start])
            cue.reach = (cue.end, max(cue.end, min(last, cue.end + _length(cue.rule, tokens))))
        nearest[_kind(cue.rule)] = cue.start
        if is_outside:
            outside[_kind(cue.rule)] = cue.start
    nearest.clear()
    for cue in cues:
        if cue.rule.direction in ("BACKWARD", "BIDIRECTIONAL"):
            first = max(-_stop(nearest, cue.rule, 0), cue.start - _length(cue.rule, tokens))
            cue.reach = (first, cue.reach[1] if cue.rule.direction == "BIDIRECTIONAL" else cue.start)
        nearest[_kind(cue.rule)] = -cue.end


def _kind(rule: _Rule) -> object:
    """Return what tells which cues end each other's reach."""
    return ("TERMINATE", rule.category) if rule.direction == "TERMINATE" else (rule.category, rule.types)


def _stop(nearest: dict[object, int], rule: _Rule, edge: int) -> int:
    ends = (rule.category,) if rule.category in _LASTING else (rule.category, *_FINAL)
    return min(nearest.get(_kind(rule), edge), *(nearest.get(("TERMINATE", category), edge) for category in ends))


def _length(rule: _Rule, tokens: int) -> int:
    return tokens if rule.max_scope is None else rule.max_scope


class _Patterns:
    """The rules that are regular expressions. One pass of re2 tells which of them a sentence can match at all."""

    def __init__(self) -> None:
        self._patterns: list[tuple[int, re.Pattern[str]]] = []
        self._filter = re2.Set.SearchSet()

    def add(self, rank: int, pattern: str) -> None:
        """Add a rule's pattern; case does not matter."""
        self._patterns.append((rank, re.compile(pattern, re.IGNORECASE)))
        try:
            self._filter.Add(f"(?i){_without_looking_around(pattern)}")
        except re2.error as error:  # a backreference, say
            raise TableError(f"mappings/context_rules.csv: a pattern that re2 does not read: {pattern}") from error

    def compile(self) -> None:
        """Make the filter ready, after the last `add`."""
        self._filter.Compile()

    def find(self, text: str) -> Iterator[tuple[int, int, int]]:
        """Yield (rank, start, end) of every match in a text, or of its group called `cue`."""
        for position in self._filter.Match(text) or ():
            rank, pattern = self._patterns[position]
            group = "cue" if "cue" in pattern.groupindex else 0
            for match in pattern.finditer(text):
                yield rank, match.start(group), match.end(group)


def _without_looking_around(pattern: str) -> str:
    """Return a pattern without its lookaheads and lookbehinds, which re2 does not know: it matches all the more."""
    kept, depth = [], 0
    for piece in _PIECE.findall(pattern):
        if depth:
            depth += piece.startswith("(") - (piece == ")")
        elif piece in _LOOKING:
            depth = 1
        else:
            kept.append(piece)
    return "".join(kept)


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


def _default_rules() -> list[_Rule]:
    """Return medspaCy's English rules without those that `mappings/context_rules_removed.csv` takes out.

    They are read from its file: to import it takes two seconds, for parts of it that are not used here.
    """
    columns = ("literal", "category", "reason")
    removed = {(row["literal"], row["category"]) for row in read_table("context_rules_removed.csv", columns)}
    path = Path(str(distribution("medspacy").locate_file("resources/en/context_rules.json")))
    rules = [_Rule(**given) for given in orjson.loads(path.read_bytes())["context_rules"]]
    return [rule for rule in rules if (rule.literal, rule.category) not in removed]


def _by_cues(categories: set[str], before: str, sentence: str, chronic: bool) -> Asserted:
    experiencer: Experiencer = "patient"
    if "FAMILY" in categories:
        experiencer = "family"
    elif "OTHER" in categories:
        experiencer = "other"
    certainty: Certainty = "certain"
    if "HYPOTHETICAL" in categories:
        certainty = "hypothetical"
    elif "POSSIBLE_EXISTENCE" in categories:
        certainty = "possible"
    temporality: Temporality = "current"
    if "HISTORICAL" in categories or ("DATED" in categories and not chronic and experiencer == "patient"):
        temporality = "historical"
    elif "FUTURE" in categories:
        temporality = "future"
    return Asserted(
        Assertion(
            negated="NEGATED_EXISTENCE" in categories,
            certainty=certainty,
            temporality=temporality,
            experiencer=experiencer,
        ),
        relative=_relative(before, sentence) if experiencer == "family" else None,
        allergy="ALLERGY" in categories,
    )


def _relative(before: str, sentence: str) -> str | None:
    found = last_relative(before) or last_relative(sentence)
    return found.display if found else None


def _by_section(asserted: Asserted, target: Target, *, is_back: bool) -> Asserted:
    """Add what the section says: family history is the family's, past history is past, a differential possible.

    A chronic disease that is listed in the past medical history, without a word that puts it in the past, is a
    disease the patient has: "PMH: hypertension" does not mean that it is over.
    """
    assertion = asserted.assertion
    if target.section == "family_history" and target.type in PROBLEM_TYPES and not is_back:
        assertion = replace(assertion, experiencer="family")
    if target.section in _HISTORICAL_SECTIONS and target.type in _PASSING and not target.chronic:
        assertion = replace(assertion, temporality="historical")
    if target.section == "stopped_medications" and target.type is EntityType.MEDICATION:
        assertion = replace(assertion, temporality="historical")
    if (
        target.section == "differential_diagnosis"
        and target.type is EntityType.DISEASE
        and assertion.certainty == "certain"
    ):
        assertion = replace(assertion, certainty="possible")
    if target.section == "instructions" and target.type is EntityType.SYMPTOM and assertion.certainty == "certain":
        assertion = replace(assertion, certainty="hypothetical")
    return replace(asserted, assertion=assertion, allergy=asserted.allergy or target.section == "allergies")


def _own_rules() -> list[_Rule]:
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
                _Rule(
                    literal=row["literal"],
                    category=row["category"],
                    direction=row["direction"],
                    pattern=row["pattern"] or None,
                    types=frozenset(EntityType(name).value for name in split(row["targets"])) or None,
                    max_scope=int(row["max_scope"]) if row["max_scope"] else None,
                )
            )
        except (ValueError, re.error) as error:
            raise TableError(f"mappings/context_rules.csv: {row['literal']}: {error}") from error
    return rules
