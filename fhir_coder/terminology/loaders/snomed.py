"""SNOMED CT as its publishers ship it (RF2): concepts, English names, is-a, historical associations, ICD-10-CM map.

SNOMED CT Release File Specification (http://snomed.org/rfs): 4.2.1 Concept, 4.2.2 Description and 4.2.3 Relationship
File; 5.2 Language, Association (5.2.5.1: historical) and Extended Map Reference Set. `rf2` reads the files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from fhir_coder.errors import TerminologyError
from fhir_coder.model import ICD10CM, SNOMED
from fhir_coder.terminology.loaders import rf2
from fhir_coder.terminology.loaders.rf2_edition import edition
from fhir_coder.terminology.loaders.snomed_tables import associations, correlations, is_mention, types
from fhir_coder.terminology.map_rules import PatientContext, holds
from fhir_coder.terminology.release import (
    Broader,
    Concept,
    Fact,
    Import,
    MapRow,
    Name,
    Options,
    Release,
    Status,
)
from fhir_coder.terminology.source import Source, SourceFile

NAME = "snomed"
TITLE = "SNOMED CT: Release Format 2, Snapshot or Full, of the US, International or another edition"

_ROOT = "138875005"  # SNOMED CT Concept; without it there is an extension only
_IS_A = "116680003"
_FULLY_SPECIFIED, _SYNONYM, _DEFINITION = "900000000000003001", "900000000000013009", "900000000000550004"
_US_ENGLISH, _GB_ENGLISH = "900000000000509007", "900000000000508004"
_PREFERRED, _ACCEPTABLE = "900000000000548007", "900000000000549004"
_ICD10CM_MAP, _ICD10_MAP = "6011000124106", "447562003"

# How strongly a description claims to be the display of its concept.
_NO_CLAIM, _GB_PREFERRED, _US_PREFERRED = range(3)


@dataclass(slots=True)
class _Entry:
    """What is gathered of a concept while its descriptions are read, in whatever order they come."""

    active: bool
    type: str = ""
    full_name: str = ""  # the fully specified name without its semantic tag
    display: str = ""
    claim: int = _NO_CLAIM


_Entries = dict[str, _Entry]


def recognises(source: Source) -> bool:
    """Tell whether there is a file with a name of RF2; whether the release is whole, `load` says."""
    return any(file.base_name.startswith(("sct2_", "der2_")) for file in source.files)


def load(source: Source, options: Options) -> Import:
    """Return the release.

    Raises `TerminologyError` when a file is missing or malformed, or the edition cannot be told.
    """
    files = rf2.pick(source)
    called = edition(files, options.version)
    system = options.system or SNOMED
    reading = _Reading(files, system, f"SNOMED CT to ICD-10-CM map {called.date}")
    return Import(
        releases=(Release(system=system, version=called.version, title=called.title),),
        facts=((0, fact) for fact in reading.facts()),
        skipped=reading.skipped,
    )


@dataclass(frozen=True)
class _Reading:
    """The reading of one release, file by file: concepts first, as the others are checked against them."""

    files: rf2.Files
    system: str
    map_origin: str
    skipped: Counter[str] = field(default_factory=Counter)

    def facts(self) -> Iterator[Fact]:
        entries = self._entries()
        yield from self._names(entries)
        yield from self._concepts(entries)
        yield from self._hierarchy(entries)
        yield from self._associations(entries)
        yield from self._map(entries)

    def _entries(self) -> _Entries:
        entries: _Entries = {}
        for file, line, (code, _, active, *_) in self.files.rows(rf2.CONCEPT):
            if fault := rf2.sctid_fault(code):
                raise file.error(fault, line, "id")
            if code in entries:
                raise file.error(f"{code} comes twice; is this a Full file under a Snapshot's name?", line, "id")
            entries[code] = _Entry(active == "1")
        if _ROOT not in entries:
            raise self.files.tables[rf2.CONCEPT][0].error(
                f"SNOMED CT's root concept {_ROOT} is not in it: this is an extension by itself, or only a part; "
                "import the whole edition (or a folder with the International Edition and the extension)"
            )
        return entries

    def _preferred(self) -> tuple[set[int], set[int]]:
        """Return the ids of the descriptions that US English prefers, and that only GB English does."""
        us, gb = set[int](), set[int]()
        dialects = {_US_ENGLISH: us, _GB_ENGLISH: gb}
        for file, line, fields in self.files.rows(rf2.LANGUAGE, (4, frozenset(dialects))):
            _, _, active, _, dialect, description, acceptability = fields
            if acceptability not in (_PREFERRED, _ACCEPTABLE):
                raise file.error(f"{acceptability!r} is no acceptability", line, "acceptabilityId")
            if active == "1" and acceptability == _PREFERRED:
                try:
                    dialects[dialect].add(int(description))
                except ValueError as error:
                    raise file.error(f"{description!r} is not an SCTID", line, "referencedComponentId") from error
        gb -= us
        return us, gb

    def _names(self, entries: _Entries) -> Iterator[Name]:
        """Yield the names that are no displays, and put into the entries what `_concepts` needs."""
        us, gb = self._preferred()
        known_types = types()
        for file, line, fields in self.files.rows(rf2.DESCRIPTION):
            id_, _, active, _, code, language, kind, term, _ = fields
            if kind not in (_SYNONYM, _FULLY_SPECIFIED, _DEFINITION):
                raise file.error(f"{kind!r} is no type of description", line, "typeId")
            if active == "0":
                continue
            entry = entries.get(code)
            if entry is None:
                self.skipped["descriptions of concepts that are not in the release"] += 1
            elif language != "en":
                self.skipped["descriptions in other languages than English"] += 1
            elif not term.strip():
                raise file.error("the term is empty", line, "term")
            elif kind == _FULLY_SPECIFIED:
                entry.full_name, tag = _without_tag(term)
                if tag in known_types:
                    entry.type = known_types[tag]
                elif entry.active:
                    self.skipped[f"types: semantic tag {tag!r} is not in mappings/terminology/snomed_types.csv"] += 1
            elif kind == _SYNONYM:
                id_number = _number(file, line, id_, "id")
                claim = _US_PREFERRED if id_number in us else _GB_PREFERRED if id_number in gb else _NO_CLAIM
                if claim > entry.claim:
                    entry.claim = claim
                    term, entry.display = entry.display, term
                if term:
                    yield Name(code, term, "synonym", entry.active and is_mention(term))
            else:
                self.skipped["text definitions"] += 1

    def _concepts(self, entries: _Entries) -> Iterator[Concept | Name]:
        for code, entry in entries.items():
            display = entry.display or entry.full_name
            if not display:
                self.skipped["concepts without a preferred or fully specified name in English"] += 1
                continue
            status: Status = "active" if entry.active else "retired"
            yield Concept(code, display, entry.type, status)
            yield Name(code, display, "preferred", entry.active and is_mention(display))
            if entry.full_name and entry.full_name != display:
                yield Name(code, entry.full_name, "synonym", entry.active and is_mention(entry.full_name))

    def _hierarchy(self, entries: _Entries) -> Iterator[Broader]:
        for _, _, fields in self.files.rows(rf2.RELATIONSHIP, (7, frozenset((_IS_A,)))):
            _, _, active, _, code, parent, *_ = fields
            if active == "0":
                continue
            if code in entries and parent in entries:
                yield Broader(code, parent)
            else:
                self.skipped["is-a relationships of concepts that are not in the release"] += 1

    def _associations(self, entries: _Entries) -> Iterator[MapRow]:
        kinds = associations()
        for _, _, fields in self.files.rows(rf2.ASSOCIATION):
            _, _, active, _, refset, code, target = fields
            if active == "0":
                continue
            name, relationship = kinds.get(refset, ("", None))
            if relationship is None:
                self.skipped["associations that do not lead from a retired concept to another concept"] += 1
            elif code not in entries or target not in entries:
                self.skipped["historical associations of descriptions, or of concepts not in the release"] += 1
            elif entries[code].active:
                self.skipped["historical associations of concepts that are active"] += 1
            else:
                origin = f"SNOMED CT historical association {name}"
                yield MapRow(self.system, code, self.system, target, relationship, origin)

    def _map(self, entries: _Entries) -> Iterator[MapRow]:
        meanings = correlations()
        readable: dict[str, bool] = {}
        for file, line, fields in self.files.rows(rf2.EXTENDED_MAP):
            _, _, active, _, refset, code, group, priority, rule, advice, target, correlation, _ = fields
            if active == "0":
                continue
            if refset != _ICD10CM_MAP:
                other = "to ICD-10 of the WHO" if refset == _ICD10_MAP else "of other reference sets than ICD-10-CM's"
                self.skipped[f"map rows {other}"] += 1
                continue
            if code not in entries:
                self.skipped["map rows of concepts that are not in the release"] += 1
                continue
            if rule not in readable:
                readable[rule] = _is_readable(rule)
            if not readable[rule]:
                # Without the row, OTHERWISE TRUE further down its group would apply where it does not.
                self.skipped[f"map rules that cannot be read, so that their map group stays open: {rule[:200]}"] += 1
            if correlation not in meanings:
                raise file.error(
                    f"{correlation!r} is not in mappings/terminology/snomed_correlations.csv", line, "correlationId"
                )
            yield MapRow(
                self.system,
                code,
                ICD10CM,
                target.strip(),
                meanings[correlation] if target.strip() else "unmatched",
                self.map_origin,
                _number(file, line, group, "mapGroup"),
                _number(file, line, priority, "mapPriority"),
                rule,
                advice,
            )


def _without_tag(term: str) -> tuple[str, str]:
    """Return a fully specified name without its semantic tag, and the tag."""
    name, opening, tag = term.rpartition(" (")
    return (name, tag[:-1]) if opening and tag.endswith(")") else (term, "")


def _number(file: SourceFile, line: int, text: str, column: str) -> int:
    if text.isascii() and text.isdigit():
        return int(text)
    raise file.error(f"{text!r} is not a number", line, column)


def _is_readable(rule: str) -> bool:
    try:
        holds(rule, PatientContext())
    except TerminologyError:
        return False
    return True
