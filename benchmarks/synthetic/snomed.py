"""SNOMED CT in Release Format 2: a Snapshot of the US edition, as its zip has it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from synthetic import icd10cm, words
from synthetic.making import SEED, Made, Names, Tick, joined, pick, statement, substance, zipped

CONCEPTS = 350_000
DESCRIPTIONS = 1_200_000
ATTRIBUTES = 800_000  # relationships other than is-a
MAP_ROWS = 200_000

_ROOT = "138875005"
_DAY = "20260301"
_MODULE, _CORE = "731000124108", "900000000000207008"
_FSN, _SYNONYM = "900000000000003001", "900000000000013009"
_US, _GB = "900000000000509007", "900000000000508004"
_PREFERRED, _ACCEPTABLE = "900000000000548007", "900000000000549004"
_IS_A, _SITE, _INFERRED, _SOME = "116680003", "363698007", "900000000000011006", "900000000000451002"
_REPLACED_BY = "900000000000526001"
_TO_ICD10CM, _TO_ICD10 = "6011000124106", "447562003"
_CORRELATION, _CLASSIFIED = "447561005", "447637006"
_FEMALE, _MALE = "248152002 | Female (finding) |", "248153007 | Male (finding) |"
_ONSET = "445518008 | Age at onset of clinical finding (observable entity) |"
# Of a hundred concepts so many have this semantic tag.
_TAGS = {
    "disorder": 34,
    "procedure": 17,
    "finding": 10,
    "body structure": 11,
    "organism": 9,
    "substance": 7,
    "physical object": 5,
    "observable entity": 4,
    "morphologic abnormality": 2,
    "situation": 1,
}
_TAG_OF = tuple(tag for tag, share in _TAGS.items() for _ in range(share))
_HEADERS = {
    "concept": "id effectiveTime active moduleId definitionStatusId",
    "description": "id effectiveTime active moduleId conceptId languageCode typeId term caseSignificanceId",
    "relationship": "id effectiveTime active moduleId sourceId destinationId relationshipGroup typeId "
    "characteristicTypeId modifierId",
    "language": "id effectiveTime active moduleId refsetId referencedComponentId acceptabilityId",
    "association": "id effectiveTime active moduleId refsetId referencedComponentId targetComponentId",
    "map": "id effectiveTime active moduleId refsetId referencedComponentId mapGroup mapPriority mapRule mapAdvice "
    "mapTarget correlationId mapCategoryId",
}
_FILES = {
    "concept": "Terminology/sct2_Concept_Snapshot",
    "description": "Terminology/sct2_Description_Snapshot-en",
    "relationship": "Terminology/sct2_Relationship_Snapshot",
    "language": "Refset/Language/der2_cRefset_LanguageSnapshot-en",
    "association": "Refset/Content/der2_cRefset_AssociationSnapshot",
    "map": "Refset/Map/der2_iisssccRefset_ExtendedMapSnapshot",
}


def sctid(item: int, partition: str) -> str:
    """Return the identifier of an item, with its check digit (Verhoeff, from the right)."""
    stem = f"{item}{partition}"
    state = 0
    for place, digit in enumerate(reversed(stem), 1):
        state = _TIMES[state][_PERMUTED[place % 8][int(digit)]]
    return f"{stem}{_INVERSE[state]}"


def _dihedral(a: int, b: int) -> int:
    """Multiply two symmetries of the pentagon: 0-4 are its rotations, 5-9 its reflections."""
    turned = (a % 5 + b % 5 if a < 5 else a % 5 - b % 5) % 5
    return turned + (0 if (a < 5) == (b < 5) else 5)


_TIMES = [[_dihedral(a, b) for b in range(10)] for a in range(10)]
_INVERSE = [_TIMES[a].index(0) for a in range(10)]
_PERMUTED = [list(range(10))]
for _ in range(7):
    _PERMUTED.append([(1, 5, 7, 6, 2, 8, 3, 0, 9, 4)[place] for place in _PERMUTED[-1]])


class _Concept(NamedTuple):
    code: str
    active: bool
    tag: str
    forms: list[str]  # what it may be called; the first is the stem of the fully specified name


def _code(number: int) -> str:
    if number == 0:
        return _ROOT
    if number % 10 == 9:  # of the US extension
        return sctid(number, "100012410")
    return sctid(100_000 + number * 3, "00")


def _is_active(number: int) -> bool:
    return number % 12 != 0 or number == 0


def _active(number: int) -> int:
    """Return a number near by whose concept is active."""
    return number if _is_active(number) else number + 1


def _forms(number: int, tag: str) -> list[str]:
    if tag in ("disorder", "finding", "situation", "morphologic abnormality"):
        return statement(number)
    if tag == "procedure":
        deed, site, approach, side = pick(
            number, words.PROCEDURES, words.SITES, ("", *words.APPROACHES), ("", *words.SIDES)
        )
        place = f"{side} {site}" if side else site
        return [
            joined(approach, deed, "of", place),
            joined(place, deed, approach and f"({approach})"),
            joined(approach, deed, "on", place),
            joined("operation on", place, "by", approach, deed),
        ]
    if tag == "body structure":
        part, tissue, site, side = pick(number, words.PARTS, words.TISSUES, words.SITES, ("", *words.SIDES))
        place = f"{side} {site}" if side else site
        return [
            joined("structure of", part, "of", tissue, "of", place),
            joined(part, "of", tissue, "of", place),
            joined(place, tissue, part),
            joined(tissue, "of", place, "in its", part),
        ]
    if tag == "organism":
        genus, species, strain = pick(number, words.ORGANISMS, words.SPECIES, _STRAINS)
        name = f"{genus} {species}"
        return [
            f"{name} {strain}",
            f"{genus[0]}. {species} {strain}",
            f"Genus {genus}, {species}, {strain}",
            f"{strain} {name}",
        ]
    if tag == "substance":
        name = substance(number).capitalize()
        return [name, f"{name} agent", f"{name} preparation", f"{name}-containing substance"]
    if tag == "physical object":
        device, part, material, size = pick(number, words.DEVICES, words.DEVICE_PARTS, words.MATERIALS, _SIZES)
        return [
            joined(material, device, part, size),
            joined(device, part, size, "made of", material),
            joined(part, "of", material, device, size),
            joined(size, device, part),
        ]
    quantity, part, tissue, site = pick(number, words.MEASURED, words.PARTS, words.TISSUES, words.SITES)
    return [
        joined(quantity, "of", part, "of", tissue, "of", site),
        joined(site, tissue, part, quantity),
        joined("measure of", quantity, "of", site, tissue, part),
        joined(quantity, "at", part, "of", site, tissue),
    ]


_STRAINS = tuple(f"serotype {number}" for number in range(1, 100))
_SIZES = tuple(f"size {number}" for number in range(1, 10))


def _concepts(scale: float) -> Iterator[_Concept]:
    yield _Concept(_ROOT, True, "SNOMED RT+CTV3", ["Synthetic root", "Everything", "All there is", "The whole"])
    for number in range(1, int(CONCEPTS * scale)):
        # Numbers that follow each other are of one kind here and there, and names of a kind are numbered on their own.
        tag = _TAG_OF[number * 37 % 100]
        yield _Concept(
            _code(number), _is_active(number), tag, _forms(number // 2 if tag == "disorder" else number, tag)
        )


class _Writing:
    """The files of a release that are being written, and the UUIDs of their rows."""

    def __init__(self, folder: Path, kinds: tuple[str, ...]) -> None:
        self._random = random.Random(SEED)  # noqa: S311 -- to be the same each time
        self.files = {}
        for kind in kinds:
            path = folder / "Snapshot" / f"{_FILES[kind]}_US1000124_{_DAY}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            self.files[kind] = path.open("w", encoding="utf-8", newline="", buffering=1 << 20)
            self.row(kind, *_HEADERS[kind].split())

    def row(self, kind: str, *fields: str) -> None:
        """Write a row."""
        self.files[kind].write("\t".join(fields) + "\r\n")

    def member(self, kind: str, active: bool, refset: str, component: str, *fields: str) -> None:
        """Write a row of a reference set."""
        digits = f"{self._random.getrandbits(128):032x}"
        uuid = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
        self.row(kind, uuid, _DAY, f"{active:d}", _MODULE, refset, component, *fields)

    def close(self) -> None:
        """Close the files."""
        for stream in self.files.values():
            stream.close()


def make(folder: Path, scale: float, tick: Tick) -> Made:
    """Write the release below a folder."""
    place = folder / "rf2"
    made = Made(folder / f"SnomedCT_ManagedServiceUS_PRODUCTION_US1000124_{_DAY}T120000Z.zip", folder / "names.csv")
    with Names(made) as names:
        writing = _Writing(place, tuple(_FILES))
        _describe(writing, scale, made, names, tick)
        _relate(writing, scale, made, tick)
        _map(writing, scale, made, tick)
        writing.close()
    zipped(place, made.path)
    return made


def _describe(writing: _Writing, scale: float, made: Made, names: Names, tick: Tick) -> None:
    total = int(DESCRIPTIONS * scale)
    count = int(CONCEPTS * scale)
    tick("concepts and descriptions", count)
    written = 0
    for number, concept in enumerate(_concepts(scale)):
        writing.row("concept", concept.code, _DAY, f"{concept.active:d}", _MODULE, "900000000000074008")
        made.counts["concepts"] += 1
        made.counts["retired"] += not concept.active
        stem, *others = concept.forms
        preferred = others.pop() if number % 2 and len(others) > 2 else stem
        # As many synonyms as bring the descriptions to their number.
        synonyms = others[: max(0, round((number + 1) * total / count) - written - 2)]
        rows = [(_FSN, f"{stem} ({concept.tag})", True), (_SYNONYM, preferred, True)]
        rows += [(_SYNONYM, text, (number + at) % 11 > 0) for at, text in enumerate(synonyms)]
        for at, (kind, text, active) in enumerate(rows):
            id_ = sctid(written + at + 1_000_000, "01")
            writing.row(
                *(
                    "description",
                    id_,
                    _DAY,
                    f"{active:d}",
                    _MODULE,
                    concept.code,
                    "en",
                    kind,
                    text,
                    "900000000000448009",
                )
            )
            if active:
                how = _PREFERRED if at < 2 else _ACCEPTABLE
                writing.member("language", True, _US, id_, how)
                writing.member("language", True, _GB, id_, how)
        written += len(rows)
        names.add(concept.code, [preferred, stem, *(text for _, text, active in rows[2:] if active)])
        if not concept.active:
            writing.member("association", True, _REPLACED_BY, concept.code, _code(number - 1))
            made.counts["maps"] += 1
        if number % 1000 == 999:
            tick("concepts and descriptions", -1000)


def _relate(writing: _Writing, scale: float, made: Made, tick: Tick) -> None:
    count = int(CONCEPTS * scale)
    attributes = int(ATTRIBUTES * scale) / count
    codes = [_code(number) for number in range(count)]  # of what is related to what came before
    tick("relationships", count)
    item = 1_000_000
    written = 0

    def relation(source: int, target: int, type_: str, active: bool, group: int) -> None:
        nonlocal item
        item += 1
        writing.row(
            *("relationship", sctid(item, "02"), _DAY, f"{active:d}", _CORE, codes[source], codes[target], str(group)),
            *(type_, _INFERRED, _SOME),
        )

    for number in range(1, count):
        if number % 1000 == 999:
            tick("relationships", -1000)
        parents = {_active((number - 1) // 10), _active((number - 1) // 7)}
        if number % 5 == 0:
            parents.add(_active((number - 1) // 3))
        parents.discard(number)
        for parent in sorted(parents):
            relation(number, parent, _IS_A, _is_active(number), 0)
            made.counts["broader"] += _is_active(number)
        if number % 10 == 0:
            relation(number, 0, _IS_A, False, 0)
        while written < number * attributes:
            written += 1
            relation(number, _active(written % (count - 1)), _SITE, written % 9 > 0, 1)


def _map(writing: _Writing, scale: float, made: Made, tick: Tick) -> None:
    """Write maps: most of one row that is always true, others by sex, age or in two groups."""
    targets = [code.dotted for code in icd10cm.codes(scale) if code.billable]
    total = int(MAP_ROWS * scale)
    tick("extended map", total)
    written = 0
    number = 0
    count = int(CONCEPTS * scale)

    def row(code: str, group: int, priority: int, rule: str, target: str) -> None:
        nonlocal written
        written += 1
        active = written % 50 > 0
        writing.member(
            *("map", active, _TO_ICD10CM, code, str(group), str(priority), rule),
            *(
                f"ALWAYS {target}" if target else "MAP SOURCE CONCEPT CANNOT BE CLASSIFIED",
                target,
                _CORRELATION,
                _CLASSIFIED,
            ),
        )
        made.counts["maps"] += active
        if written % 10 == 0:
            writing.member("map", True, _TO_ICD10, code, "1", "1", "TRUE", "", target[:3], _CORRELATION, _CLASSIFIED)
        if written % 1000 == 0:
            tick("extended map", -1000)

    while written < total:
        number = _active((number + 1) % (count - 1))
        code = _code(number)
        target = targets[number * 31 % len(targets)]
        other = targets[number * 37 % len(targets)]
        if number % 12 == 1:
            row(code, 1, 1, f"IFA {_FEMALE}", target)
            row(code, 1, 2, f"IFA {_MALE}", other)
            row(code, 1, 3, "OTHERWISE TRUE", "")
        elif number % 12 == 5:
            row(code, 1, 1, f"IFA {_ONSET} < {number % 17 + 1}.0 years", target)
            row(code, 1, 2, f"IFA {_ONSET} >= 28.0 days AND IFA {_FEMALE}", other)
            row(code, 1, 3, "OTHERWISE TRUE", target)
        elif number % 12 == 7:
            row(code, 1, 1, "TRUE", target)
            row(code, 2, 1, f"IFA {_code(_active(number // 2))} | Another finding (finding) |", other)
            row(code, 2, 2, "OTHERWISE TRUE", other)
        else:
            row(code, 1, 1, "TRUE", target)
