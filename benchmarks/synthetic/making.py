"""What the generators of all code systems share: names by number, and what a release is to come to."""

from __future__ import annotations

import csv
import random
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from synthetic import words

SEED = 20260301
Tick = Callable[[str, int], None]
"""Told what is being written and how many more rows of it there are."""

_STEP = 2_654_435_761  # a prime: numbers that follow each other make names that have little in common
_SAMPLED = 400  # names of a release that are looked up later


@dataclass
class Made:
    """A release that was written: what to import, and what has to be found in it.

    `counts` are those of the manifest, and the rows of tables of the store. `names` is a file of all its names.
    """

    path: Path
    names: Path
    counts: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[str, str]] = field(default_factory=list)  # code, one of its names


class Names(AbstractContextManager["Names"]):
    """Counts the names of a release, keeps some of them, and writes them down for the baseline.

    The names of a code are to be given one code after the other; only `again` allows names of an earlier code.
    """

    def __init__(self, made: Made) -> None:
        self._made = made
        self._stream = made.names.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._stream)
        self._random = random.Random(SEED)  # noqa: S311 -- to be the same each time
        self._said: set[int] = set()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stream.close()

    def add(self, code: str, texts: Iterable[str]) -> int:
        """Count the different texts among the names of a code; return how many there are."""
        return self._write(code, list(dict.fromkeys(texts)))

    def again(self, code: str, texts: Iterable[str]) -> int:
        """Count the texts that were not given for this code before; costs memory for each."""
        new = []
        for text in texts:
            number = hash((code, text))
            if number not in self._said:
                self._said.add(number)
                new.append(text)
        return self._write(code, new)

    def _write(self, code: str, texts: Sequence[str]) -> int:
        for text in texts:
            self._writer.writerow((code, text))
        made = self._made
        made.counts["names"] += len(texts)
        if texts:  # a sample of all, however many come
            seen = made.counts["names"]
            if len(made.samples) < _SAMPLED:
                made.samples.append((code, texts[0]))
            elif (at := self._random.randrange(seen)) < _SAMPLED:
                made.samples[at] = (code, texts[0])
        return len(texts)


def pick(number: int, *choices: Sequence[str]) -> list[str]:
    """Return one of each of the choices: another combination for every number, until all have been made."""
    total = 1
    for choice in choices:
        total *= len(choice)
    around, number = divmod(number, total)
    number = (number * _STEP + around) % total
    picked = []
    for choice in choices:
        number, at = divmod(number, len(choice))
        picked.append(choice[at])
    return picked


def joined(*parts: str) -> str:
    """Return the parts that are not empty as a phrase with a capital."""
    text = " ".join(part for part in parts if part)
    return text[:1].upper() + text[1:]


def statement(number: int) -> list[str]:
    """Return six ways to say one finding: "Chronic fracture of left femur", "Chronic left femur fracture", ..."""
    disorder, site, qualifier, side = pick(number, words.DISORDERS, words.SITES, _QUALIFIERS, _SIDES)
    cause = f"due to {words.CAUSES[number // 4 % len(words.CAUSES)]}" if number % 4 == 3 else ""
    place = f"{side} {site}" if side else site
    return [
        joined(qualifier, disorder, "of", place, cause),
        joined(qualifier, place, disorder, cause),
        joined(", ".join(part for part in (disorder, place, qualifier) if part), cause),
        joined(qualifier, disorder, "involving", place, cause),
        joined(qualifier, disorder, "affecting", place, cause),
        joined(place, "with", qualifier, disorder, cause),
    ]


_QUALIFIERS = ("", *words.QUALIFIERS)
_SIDES = ("", *words.SIDES)
_MIDDLES = tuple(first + second for first in words.MIDDLE_SYLLABLES for second in words.MIDDLE_SYLLABLES)


def substance(number: int) -> str:
    """Return the name of a substance: "bromavanib"."""
    return "".join(pick(number, words.FIRST_SYLLABLES, _MIDDLES, words.LAST_SYLLABLES))


def brand(number: int) -> str:
    """Return a brand: "Calovexa"."""
    return "".join(pick(number, words.FIRST_SYLLABLES, _MIDDLES, words.BRAND_ENDINGS)).capitalize()


def zipped(folder: Path, target: Path) -> Path:
    """Move the files below a folder into a zip and return it."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
                path.unlink()
    return target
