"""Tags of words (BIO, BIOES, IO) and the best sequence of them that is one: a constrained Viterbi decoder."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fhir_coder.errors import SettingsError
from fhir_coder.model import EntityType

Scores = NDArray[np.float32]
Labels = NDArray[np.int64]
_TAG = re.compile(r"([BIESLU])[-_](.+)")
_NEVER = np.float32(-1e9)


@dataclass(frozen=True, slots=True)
class Run:
    """Words `first` to `last` (exclusive) with one type."""

    first: int
    last: int
    type: EntityType


class TagSet:
    """The tags of a model, in the order of its outputs.

    `types` maps the labels that are no types of ours ("Chemical", in any case); what is neither is not reported.
    Raises `SettingsError` when nothing is.
    """

    def __init__(self, names: Sequence[str], types: Mapping[str, EntityType]) -> None:
        self.names = tuple(names)
        parts = [_parts(name) for name in names]
        begins = {label for place, label in parts if place == "B"}
        closes = {label for place, label in parts if place in ("E", "S")}
        meant = {label.casefold(): type_ for label, type_ in types.items()}
        self._types = [_type(label.casefold(), meant) for _, label in parts]
        self._opens = [place in ("B", "S") for place, _ in parts]
        self._typed = np.array([type_ is not None for type_ in self._types], dtype=np.bool_)
        if not self._typed.any():
            raise SettingsError(
                f"setting recogniser: none of the model's labels ({', '.join(names[:8])}, ...) is a known type: "
                "name them in mappings/corpus_labels.csv"
            )
        count = len(parts)
        self._first = np.array(
            [place not in ("I", "E") or label not in begins for place, label in parts], dtype=np.bool_
        )
        self._follows = np.zeros((count, count), dtype=np.bool_)
        for before, (place_before, label_before) in enumerate(parts):
            is_open = place_before in ("B", "I")
            for after, (place, label) in enumerate(parts):
                goes_on = place in ("I", "E") and label in begins
                fits = is_open and label_before == label
                must_go_on = is_open and label_before in closes
                self._follows[before, after] = fits if goes_on else not must_go_on
        self.outside = next((position for position, (place, _) in enumerate(parts) if place == "O"), 0)
        self.nothing: Scores = np.where(np.arange(count) == self.outside, np.float32(0), np.float32(-30))
        # Of a label's tags all speak for it, whichever is the best.
        self._of_label = np.array([[label == other for _, other in parts] for _, label in parts], dtype=np.float32)

    def best(self, scores: Scores) -> Labels:
        """Return the best sequence of tags that is one, for log-probabilities of shape (words, tags)."""
        best: Labels = scores.argmax(axis=1)
        if len(best) == 0 or (self._first[best[0]] and bool(self._follows[best[:-1], best[1:]].all())):
            return best  # the best tags of all words are a sequence: there is no better one
        penalty = np.where(self._follows, np.float32(0), _NEVER)
        total = scores[0] + np.where(self._first, np.float32(0), _NEVER)
        back = np.empty(scores.shape, dtype=np.int64)
        for position in range(1, len(scores)):
            ways = total[:, None] + penalty
            back[position] = ways.argmax(axis=0)
            total = ways.max(axis=0) + scores[position]
        best[-1] = total.argmax()
        for position in range(len(scores) - 1, 0, -1):
            best[position - 1] = back[position, best[position]]
        return best

    def runs(self, tags: Labels) -> list[Run]:
        """Return the runs of words that a sequence of tags makes, of the types that are ours."""
        runs: list[Run] = []
        for position in np.flatnonzero(self._typed[tags]).tolist():
            type_ = self._types[tags[position]]
            assert type_ is not None  # noqa: S101  # _typed says so
            if runs and runs[-1].last == position and runs[-1].type is type_ and not self._opens[tags[position]]:
                runs[-1] = Run(runs[-1].first, position + 1, type_)
            else:
                runs.append(Run(position, position + 1, type_))
        return runs

    def certainty(self, probabilities: Scores, tags: Labels) -> Scores:
        """Return how sure the model is of each word's label, 0..1."""
        certain: Scores = (probabilities * self._of_label[tags]).sum(axis=1)
        return certain


def _parts(name: str) -> tuple[str, str]:
    """Return a tag's place (B, I, E, S or O) and its label; a tag without a place (IO) goes on."""
    if name == "O" or name.lower() in ("none", "label_0"):
        return "O", ""
    match = _TAG.fullmatch(name)
    if not match:
        return "I", name
    place, label = match.groups()
    return {"L": "E", "U": "S"}.get(place, place), label


def _type(label: str, types: Mapping[str, EntityType]) -> EntityType | None:
    return EntityType(label) if label in list(EntityType) else types.get(label)
