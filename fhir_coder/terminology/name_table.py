"""The names and concepts of a release as arrays in files, memory-mapped: what every lookup asks for, without a query.

    <folder>/names/texts.txt, texts.npy    the names, one after the other, and where each begins
    .../forms.txt, forms.npy               their normal forms
    .../kinds.bin, concepts.npy            the kind of each name, and its concept
    .../keys.npy, keys_rows.npy            the numbers of the normal forms, sorted, and the row of each
    .../bags.npy, bags_rows.npy            the same of the content words
    .../codes.txt, codes.npy               the codes of the concepts; facts.txt: all else that is said of them
    .../code_numbers.npy, ..._rows.npy     the numbers of the codes, sorted, and the concept of each

Names and concepts are counted from 0 here. A start reads nothing of it, a lookup a few pages.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, NamedTuple, cast, get_args

import numpy as np
from numpy.typing import NDArray

from fhir_coder.terminology.keys import key_number, word_number
from fhir_coder.terminology.normalise import bag
from fhir_coder.terminology.release import NameKind, Status

_FOLDER = "names"
_KINDS: tuple[NameKind, ...] = get_args(NameKind)
_BETWEEN = "\x1f"  # the facts of a concept; what may hold anything, its display, stands last

SignedNumbers = NDArray[np.int64]


class ConceptRow(NamedTuple):
    """A concept as a release has it."""

    code: str
    display: str
    type: str
    status: Status
    chronic: bool


class NameTableWriter:
    """Writes the table of a release. First the concepts, by their number, then the names, in the order of concepts."""

    def __init__(self, folder: Path) -> None:
        self._place = folder / _FOLDER
        self._place.mkdir()
        self._codes, self._facts = _TextsWriter(self._place, "codes"), _TextsWriter(self._place, "facts")
        self._texts, self._forms = _TextsWriter(self._place, "texts"), _TextsWriter(self._place, "forms")
        self._code_numbers, self._keys, self._bags = array("q"), array("q"), array("q")
        self._kinds, self._concepts = bytearray(), array("i")

    def add_concept(self, concept: ConceptRow) -> None:
        """Write the next concept."""
        self._codes.add(concept.code)
        chronic = "1" if concept.chronic else ""
        self._facts.add(_BETWEEN.join((concept.status, concept.type, chronic, concept.display)))
        self._code_numbers.append(_code_number(concept.code))

    def add_name(self, concept: int, text: str, form: str, kind: NameKind) -> None:
        """Write the next name, in its normal form, too; `concept` is the number of its concept."""
        self._texts.add(text)
        self._forms.add(form)
        self._kinds.append(_KINDS.index(kind))
        self._concepts.append(concept)
        self._keys.append(key_number(form))
        self._bags.append(key_number(bag(form)))

    def finish(self) -> None:
        """Write what is to be searched in."""
        for texts in (self._codes, self._facts, self._texts, self._forms):
            texts.finish()
        (self._place / "kinds.bin").write_bytes(self._kinds)
        np.save(self._place / "concepts.npy", np.array(self._concepts, dtype=np.int32))
        for name, numbers in (("code_numbers", self._code_numbers), ("keys", self._keys), ("bags", self._bags)):
            of_rows = np.array(numbers, dtype=np.int64)
            order = np.argsort(of_rows, kind="stable")
            np.save(self._place / f"{name}.npy", of_rows[order])
            np.save(self._place / f"{name}_rows.npy", order.astype(np.int32))


class NameTable:
    """The table of a release; it may be shared between threads."""

    def __init__(self, folder: Path) -> None:
        place = folder / _FOLDER
        self.texts, self.forms = Texts(place, "texts"), Texts(place, "forms")
        self.codes, self._facts = Texts(place, "codes"), Texts(place, "facts")
        self._kinds = (place / "kinds.bin").read_bytes()
        self._concepts = mapped(place / "concepts.npy")
        self._concept_of = self._concepts.data
        self._keys, self._bags = _Sorted(place, "keys"), _Sorted(place, "bags")
        self._code_numbers = _Sorted(place, "code_numbers")

    def __len__(self) -> int:
        """Return how many names there are."""
        return len(self._kinds)

    def kind(self, name: int) -> NameKind:
        """Return the kind of a name."""
        return _KINDS[self._kinds[name]]

    def concept_of(self, name: int) -> int:
        """Return the concept of a name."""
        return int(self._concept_of[name])

    def names_of(self, concept: int) -> range:
        """Return the names of a concept."""
        first, last = self._concepts.searchsorted(np.array([concept, concept + 1], dtype=np.int32)).tolist()
        return range(first, last)

    def with_form(self, form: str) -> list[int]:
        """Return the names with a normal form."""
        return [name for name in self._keys.rows(key_number(form)) if self.forms[name] == form]

    def with_bag(self, words: str) -> list[int]:
        """Return the names with these content words (`normalise.bag`)."""
        return [name for name in self._bags.rows(key_number(words)) if bag(self.forms[name]) == words]

    def may_have(self, forms: SignedNumbers, bags: SignedNumbers) -> NDArray[np.bool_]:
        """Return, for pairs of the numbers of a normal form and of its content words, which of them a name may have."""
        return self._keys.have(forms) | self._bags.have(bags)

    def find_concept(self, code: str) -> int | None:
        """Return the concept with a code, or None."""
        return next((row for row in self._code_numbers.rows(_code_number(code)) if self.codes[row] == code), None)

    def concept(self, concept: int) -> ConceptRow:
        """Return what the release says of a concept."""
        status, type_, chronic, display = self._facts[concept].split(_BETWEEN, 3)
        return ConceptRow(self.codes[concept], display, type_, cast("Status", status), bool(chronic))

    def status(self, concept: int) -> Status:
        """Return the status of a concept."""
        return cast("Status", self._facts[concept].split(_BETWEEN, 1)[0])


def signed(numbers: Iterable[int]) -> SignedNumbers:
    """Return the numbers of keys (`key_number`) as they are searched for."""
    return np.array(list(numbers), dtype=np.int64)


def mapped(path: Path) -> NDArray[Any]:
    """Return an array that is read from its file when it is used; parts of a plain array cost less than a memmap's."""
    return np.asarray(np.load(path, mmap_mode="r"))


def _code_number(code: str) -> int:
    number: int = np.uint64(word_number(code)).astype(np.int64).item()
    return number


class Texts:
    """Texts of a file, by their number."""

    def __init__(self, place: Path, name: str) -> None:
        self._begins = mapped(place / f"{name}.npy").data
        path = place / f"{name}.txt"
        self._bytes = np.memmap(path, mode="r").data if path.stat().st_size else memoryview(b"")

    def __getitem__(self, number: int) -> str:
        return str(self._bytes[self._begins[number] : self._begins[number + 1]], "utf-8")


class _TextsWriter:
    def __init__(self, place: Path, name: str) -> None:
        self._place, self._name = place, name
        self._begins = array("q", [0])
        self._file: IO[bytes] = (place / f"{name}.txt").open("wb")

    def add(self, text: str) -> None:
        written = text.encode()
        self._file.write(written)
        self._begins.append(self._begins[-1] + len(written))

    def finish(self) -> None:
        self._file.close()
        np.save(self._place / f"{self._name}.npy", np.array(self._begins, dtype=np.int64))


class _Sorted:
    """Sorted numbers, and the row of each."""

    def __init__(self, place: Path, name: str) -> None:
        self._numbers: SignedNumbers = mapped(place / f"{name}.npy")
        self._rows = mapped(place / f"{name}_rows.npy").data

    def rows(self, number: int) -> list[int]:
        """Return the rows of a number."""
        first = int(self._numbers.searchsorted(number))
        last = first
        while last < len(self._numbers) and self._numbers[last] == number:
            last += 1
        return self._rows[first:last].tolist()

    def have(self, numbers: SignedNumbers) -> NDArray[np.bool_]:
        """Tell of each number whether it is there."""
        if not len(self._numbers):
            return np.zeros(len(numbers), dtype=np.bool_)
        places = np.minimum(self._numbers.searchsorted(numbers), len(self._numbers) - 1)
        found: NDArray[np.bool_] = self._numbers[places] == numbers
        return found
