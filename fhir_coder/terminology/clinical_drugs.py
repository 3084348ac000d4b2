"""The relationships of RxNorm: what a brand, a combination and a clinical drug are made of.

A clinical drug (SCD) consists of components (SCDC: an ingredient and its strength) and has a dose form; a branded
drug (SBD) is the trade name of a clinical drug. RXNREL.RRF reads from right to left: RXCUI2 RELA RXCUI1.
https://www.nlm.nih.gov/research/umls/rxnorm/docs/appendix1.html
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from fhir_coder.model import RXNORM
from fhir_coder.terminology.release import Broader, Drug, Fact, MapRow, Property, Relationship
from fhir_coder.terminology.rrf import SUPPRESSED, rows, rxcui
from fhir_coder.terminology.source import SourceFile

ORIGIN = "rxnorm"
_REL_COLUMNS = 16
_TRADENAMES = frozenset({("BN", "IN"), ("BN", "PIN"), ("BN", "MIN"), ("SBD", "SCD"), ("BPCK", "GPCK")})
_DRUGS = frozenset({"SCD", "SBD"})


@dataclass(frozen=True, slots=True)
class ClinicalDrugs:
    """What a release says of its clinical drugs, as numbers.

    `ttys` are the term types of its codes, `retired` those that are not in use; `names` the names of dose forms and
    their groups in lower case, `strengths` the strengths of the components.
    """

    ttys: Mapping[int, str]
    retired: frozenset[int]
    names: dict[int, str] = field(default_factory=dict)
    strengths: dict[int, str] = field(default_factory=dict)
    _components: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))  # of SCD and SBD
    _ingredient: dict[int, int] = field(default_factory=dict)  # of a component or a precise ingredient
    _precise: dict[int, int] = field(default_factory=dict)  # ingredient of a component
    _form: dict[int, int] = field(default_factory=dict)
    _groups: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))  # of a dose form
    _generic: dict[int, int] = field(default_factory=dict)  # drug of a branded one
    _brand: dict[int, int] = field(default_factory=dict)
    _parts: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))  # of a combination

    def read(self, file: SourceFile, skipped: Counter[str]) -> Iterator[Fact]:
        """Read RXNREL.RRF; yield what it states by itself and keep what the drugs are made of."""
        for number, fields in rows(file, _REL_COLUMNS, 10, skipped):
            rela = fields[7]
            if fields[14] in SUPPRESSED:
                skipped["relationships that are suppressed or obsolete"] += 1
            elif rela in _WANTED and fields[0] and fields[4]:  # between concepts, not between atoms
                target, source = rxcui(file, fields[0], number, "RXCUI1"), rxcui(file, fields[4], number, "RXCUI2")
                kinds = self.ttys.get(source, ""), self.ttys.get(target, "")
                if not all(kinds):
                    skipped["relationships of codes that have no name"] += 1
                else:
                    yield from self._keep(rela, source, target, kinds)

    def _keep(self, rela: str, source: int, target: int, kinds: tuple[str, str]) -> Iterator[Fact]:
        match rela, *kinds:
            case "isa", kind, parent:
                yield Broader(str(source), str(target))
                if (kind, parent) == ("DF", "DFG"):
                    self._groups[source].append(target)
            case "tradename_of", *_ if kinds in _TRADENAMES:
                yield _map(source, target, "tradename-of")
                if kinds == ("SBD", "SCD"):
                    self._generic[source] = target
            case "form_of", "PIN", "IN":
                self._ingredient[source] = target
                yield _map(source, target, "wider")
                yield _map(source, target, "has-ingredient")
            case "consists_of", "SCD" | "SBD", "SCDC":
                self._components[source].append(target)
            case "has_ingredient", "SCDC", "IN":
                self._ingredient[source] = target
            case "has_precise_ingredient", "SCDC", "PIN":
                self._precise[source] = target
            case "has_ingredient", "SBD", "BN":
                self._brand[source] = target
            case "has_dose_form", "SCD" | "SBD", "DF":
                self._form[source] = target
            case "has_part", "MIN", "IN" | "PIN":
                self._parts[source].append(target)
            case _:  # between other kinds of concepts: of packs, components, groups
                pass

    def facts(self, skipped: Counter[str]) -> Iterator[Fact]:
        """Yield the drugs with their ingredients, strengths, dose form and brand, when all is read."""
        for code, parts in self._parts.items():
            yield from _ingredients(code, {self._ingredient.get(part, part) for part in parts})
        for code, tty in self.ttys.items():
            if tty in _DRUGS:
                yield from self._drug(code, skipped)

    def _drug(self, code: int, skipped: Counter[str]) -> Iterator[Fact]:
        generic = self._generic.get(code, code)
        components = self._components.get(code) or self._components.get(generic, [])
        form = self._form.get(code) or self._form.get(generic, 0)
        made_of = sorted((self._ingredient.get(part, 0), self.strengths.get(part, "")) for part in components)
        yield from _ingredients(code, {ingredient for ingredient, _ in made_of if ingredient})
        for precise in sorted({self._precise[part] for part in components if part in self._precise}):
            yield Property(str(code), "has_precise_ingredient", str(precise))
        for group in self._groups.get(form, ()):
            if group in self.names:
                yield Property(str(code), "has_doseformgroup", self.names[group])
        if code in self.retired:
            skipped["retired drugs: not offered by ingredient and strength"] += 1
        elif not all(ingredient for ingredient, _ in made_of) or not made_of:
            skipped["drugs without ingredients: not offered by ingredient and strength"] += 1
        elif not all(strength for _, strength in made_of):
            skipped["drugs without a strength that can be read: not offered by ingredient and strength"] += 1
        elif form not in self.names:
            skipped["drugs without a dose form: not offered by ingredient and strength"] += 1
        else:
            brand = self._brand.get(code)
            yield Drug(
                str(code),
                "/".join(str(ingredient) for ingredient, _ in made_of),
                "/".join(strength for _, strength in made_of),
                self.names[form],
                str(brand) if brand else "",
            )


_WANTED = frozenset(
    "isa tradename_of form_of consists_of has_ingredient has_precise_ingredient has_dose_form has_part".split()
)


def _map(source: int, target: int, relationship: Relationship) -> MapRow:
    return MapRow(RXNORM, str(source), RXNORM, str(target), relationship, ORIGIN)


def _ingredients(code: int, ingredients: set[int]) -> Iterator[Fact]:
    for ingredient in sorted(ingredients):
        yield _map(code, ingredient, "has-ingredient")
