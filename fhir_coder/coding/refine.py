"""From the code that the names give to the code that the note's details give, within the same category.

The leaves of a category are compared by their displays (`axes.py`): one may take the place of another when it names the
same thing and says more or less of laterality, severity, acuity, stage, encounter ... only where the note does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from fhir_coder.coding.axes import CATEGORY, Parsed, Value, parse, values_in
from fhir_coder.coding.evidence import words_of
from fhir_coder.model import ICD10CM
from fhir_coder.tables import read_table, split
from fhir_coder.terminology.store import ConceptStore, StoredConcept

_CACHED = 1 << 14
# What a name or map must not bring in when the note does not say it: "bilateral" for "acute otitis media".
_ONE_SIDE = "unilateral"
_STRICT = frozenset({"laterality", "trimester", "encounter"})
_LITTLE = frozenset({"of", "and", "the"})
_NEVER_MISSING = frozenset({"encounter", "fetus"})  # they have a default

Stated = frozenset[tuple[str, str]]  # axis and value, without contradictions
Place = tuple[frozenset[str], ...]  # the words of each name of a site


@dataclass(frozen=True, slots=True)
class Refined:
    """The leaf that the note's details lead to.

    `used` are the values that speak for it and that the first code did not have, `assumed` those it has by default,
    `missing` the axes on which the category has more to say, but the note has not.
    """

    concept: StoredConcept
    used: tuple[Value, ...]
    assumed: tuple[Value, ...]
    missing: tuple[str, ...]
    by_site: bool = False


@dataclass(frozen=True, slots=True)
class _Fit:
    concept: StoredConcept
    used: tuple[tuple[str, str], ...]
    assumed: tuple[tuple[str, str], ...]
    site_words: int
    lost: int  # axes on which the first code said something that the note does not
    unspecified: int

    @property
    def told(self) -> tuple[int, int]:
        return self.site_words, len(self.used)

    @property
    def rank(self) -> tuple[int, int, int, int]:
        return (*self.told, -self.lost, -self.unspecified)


class Refiner:
    """Refines codes of ICD-10-CM over one store. It may be shared between threads."""

    def __init__(self, store: ConceptStore) -> None:
        self._store = store
        self._leaves = lru_cache(_CACHED)(self._read_leaves)
        self.refine = lru_cache(_CACHED)(self._refine)

    def _refine(self, code: str, stated: Stated, site: str) -> Refined | None:
        """Return what a code - of a leaf or a header - becomes by what is stated, or None for a header without a leaf.

        A leaf that nothing speaks against stays as it is.
        """
        concept = self._store.concept(ICD10CM, code)
        if concept is None:
            return None
        category = code[:CATEGORY]
        start = parse(concept.display, category)
        place = _site_words(site)
        leaves = self._leaves(code if concept.status == "header" else category)
        fits = []
        missing: set[tuple[str, str]] = set()
        for leaf in leaves:
            parsed = parse(leaf.display, category)
            if leaf.code != code and not _same_thing(start, parsed, place, is_below=concept.status == "header"):
                continue
            fit = _fit(leaf, start, parsed, stated, place, category)
            if fit is None:
                missing |= _unstated(start, parsed, stated, category)
            else:
                fits.append(fit)
        best = _best(fits, code)
        if best is None:
            return None if concept.status == "header" else Refined(concept, (), (), ())
        told = parse(best.concept.display, category).values
        axes = [axis for axis, _ in missing]
        known = values_in(category)
        return Refined(
            concept=best.concept,
            used=tuple(known[key] for key in best.used if start.values.get(key[0]) != key[1]),
            assumed=tuple(known[key] for key in best.assumed),
            # On an axis with one value, the other is that nothing is to be said.
            missing=tuple(sorted({axis for axis in axes if axes.count(axis) > 1} - told.keys() - _NEVER_MISSING)),
            by_site=best.concept.code != code and best.site_words > 0,
        )

    def _read_leaves(self, code: str) -> tuple[StoredConcept, ...]:
        top = self._store.concept(ICD10CM, code)
        return tuple(self._below(top)) if top else ()

    def _below(self, concept: StoredConcept) -> Iterator[StoredConcept]:
        if concept.codable:
            yield concept
        for child in self._store.children(concept):
            yield from self._below(child)


def _same_thing(start: Parsed, other: Parsed, place: Place, *, is_below: bool) -> bool:
    """Tell whether two displays name the same but for their axes, what is unspecified, and the site that is stated."""
    # "bilateral" does not name the ear that "right ear" names, nor a header the wrist of its "left wrist".
    has_no_noun = is_below or start.values.get("laterality") == "bilateral"
    more = other.sided if has_no_noun else frozenset[str]()
    # "unspecified quadrant" adds nothing; "unspecified traumatic cataract" does.
    nothing = frozenset[str]().union(*(noun for noun in other.open if noun.isdisjoint(start.words)))
    added = other.words - start.words - nothing - more
    less = start.sided.union(*start.open)
    if start.words and start.words.isdisjoint(
        other.words
    ):  # "unspecified conjunctivitis", "... blepharoconjunctivitis"
        return False
    return (not added or bool(_named_site(added, other, place))) and start.words - other.words <= less


def _named_site(added: frozenset[str], other: Parsed, place: Place) -> frozenset[str]:
    """Return the words of the site, if a display names it as a whole, and adds nothing else."""
    return next((name for name in place if added <= name <= other.words), frozenset())


def _fit(
    leaf: StoredConcept, start: Parsed, parsed: Parsed, stated: Stated, place: Place, category: str
) -> _Fit | None:
    """Return how a leaf fits to what is stated, or None when it says what is not stated."""
    used, assumed = [], []
    known = values_in(category)
    told = dict(stated)
    for axis, value in parsed.values.items():
        stated_here = told.get(axis)
        if stated_here in (value, *value.split(" to ")) or (value == _ONE_SIDE and stated_here in ("right", "left")):
            used.append((axis, value))
        elif axis in told:
            return None  # the note says otherwise
        elif known[axis, value].is_default:
            assumed.append((axis, value))
        elif (axis in _STRICT and value != _ONE_SIDE) or start.values.get(axis) != value:
            return None
    # The first code said it by its name or map, and nothing in the note speaks against it.
    lost = sum(
        axis not in parsed.values and axis not in _STRICT and not known[axis, value].is_default
        for axis, value in start.values.items()
    )
    if lost and not any(axis in told for axis in start.values):
        return None
    mentioned = max((len(name) for name in place if name <= parsed.words and not name <= start.words), default=0)
    return _Fit(leaf, tuple(used), tuple(assumed), mentioned, lost, parsed.unspecified)


def _unstated(start: Parsed, parsed: Parsed, stated: Stated, category: str) -> set[tuple[str, str]]:
    """Return the axis on which a leaf says more, with its value, if it is the only one."""
    told = dict(stated)
    known = values_in(category)
    found = {
        (axis, value)
        for axis, value in parsed.values.items()
        if axis not in told and start.values.get(axis) != value and not known[axis, value].is_default
    }
    return found if len(found) == 1 else set()


def _best(fits: list[_Fit], code: str) -> _Fit | None:
    """Return the best fit: the code itself when the note says more of no other, none when several are equally good."""
    if not fits:
        return None
    highest = max(fit.rank for fit in fits)
    best = [fit for fit in fits if fit.rank == highest]
    same = next((fit for fit in fits if fit.concept.code == code), None)
    if same and (len(best) > 1 or same.told == best[0].told):
        return same
    if len(best) > 1:  # "..., initial encounter" before what only a later digit tells apart
        shortest = sorted(best, key=lambda fit: (len(fit.concept.display), fit.concept.code))
        return shortest[0] if len(shortest[0].concept.display) < len(shortest[1].concept.display) else None
    return best[0]


@lru_cache(maxsize=_CACHED)
def _site_words(site: str) -> Place:
    """Return the names of a site that a note calls as given, in words: its own, and those that displays have for it."""
    words = words_of(site)
    if not words:
        return ()
    others = (
        words - words_of(said) | words_of(name)
        for said, names in _sites().items()
        if words_of(said) <= words
        for name in names
    )
    return tuple(dict.fromkeys((words - _LITTLE, *(other - _LITTLE for other in others))))


@lru_cache(maxsize=1)
def _sites() -> Mapping[str, tuple[str, ...]]:
    rows = read_table("coding/sites.csv", ("said", "display", "source"))
    return {row["said"]: split(row["display"]) for row in rows}
