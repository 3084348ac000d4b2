"""Names that mean the same, from the loaded releases and from files, to train an encoder on.

Files: SSSOM (`*.sssom.tsv`: a label of a term, and that it exactly matches another), PubTator (`*.pubtator`: mentions
with the identifiers of what they mean), or a table `concept,name` (`*.csv`; `*.tsv` with tabs). Identifiers that are
said to match exactly are one concept.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

from fhir_coder.errors import TrainingError
from fhir_coder.model import CODE_SYSTEMS, HPO, ICD10CM, SNOMED
from fhir_coder.terminology.normalise import normalise
from fhir_coder.terminology.stored_release import StoredRelease

Groups = list[tuple[str, ...]]
"""Concepts, each with two or more names."""

_SEVENTH_CHARACTER = 8  # length of an ICD-10-CM code that has one: "S52.501A"
_LONGEST = 120  # characters of a name
_MOST_NAMES = 12  # of a concept
_HELD_OUT = 10  # one concept in so many is not trained on, so that it can be measured on
_SYSTEMS = {"ICD10CM": ICD10CM, "SCTID": SNOMED}
_EXACT = "skos:exactMatch"
_BARE_MESH = re.compile(r"[CD]\d{6,9}$")


class Concepts:
    """Names by identifier, and identifiers that are one.

    An identifier is a prefix with a code ("MESH:D014262"), or a code system's URI, a space, and a code.
    """

    def __init__(self) -> None:
        self._same: dict[str, str] = {}
        self._names: dict[str, list[str]] = defaultdict(list)

    def name(self, identifier: str, text: str) -> None:
        """Take a name of a concept."""
        self._names[identifier].append(text)

    def unite(self, one: str, other: str) -> None:
        """Take two identifiers for one concept."""
        self._same[self.root(one)] = self.root(other)

    def root(self, identifier: str) -> str:
        """Return the identifier that stands for all of a concept."""
        while identifier in self._same and self._same[identifier] != identifier:
            identifier = self._same[identifier]
        return identifier

    def identifiers(self) -> set[str]:
        """Return all identifiers that were seen."""
        return {*self._same, *self._same.values(), *self._names}

    def groups(self) -> Iterator[tuple[str, list[str]]]:
        """Yield each concept's identifier and names."""
        together: dict[str, list[str]] = defaultdict(list)
        for identifier, names in self._names.items():
            together[self.root(identifier)].extend(names)
        yield from together.items()


def groups_of(folders: Sequence[Path], files: Sequence[Path]) -> Groups:
    """Return the concepts of stored releases and files that have two or more names, without those that are held out.

    Raises `TrainingError` when a file cannot be read.
    """
    found = []
    for identifier, names in read_concepts(folders, files).groups():
        different = _different(names)
        if len(different) > 1 and not is_held_out(identifier):
            found.append(tuple(different[:_MOST_NAMES]))
    return found


def read_concepts(folders: Sequence[Path], files: Sequence[Path]) -> Concepts:
    """Return the concepts of stored releases and files. Raises `TrainingError` when a file cannot be read."""
    concepts = Concepts()
    for folder in folders:
        release = StoredRelease(folder)
        try:
            _add_release(release, concepts)
        finally:
            release.close()
    for path in files:
        _add_file(path, concepts)
    return concepts


def is_held_out(identifier: str) -> bool:
    """Tell whether a concept ("system code") is kept out of training."""
    return blake2b(identifier.encode(), digest_size=4).digest()[0] % _HELD_OUT == 0


def _different(names: Iterable[str]) -> list[str]:
    """Return the names that are not the same but for inflection and punctuation."""
    by_key: dict[str, str] = {}
    for name in names:
        key = normalise(name[:_LONGEST])
        if key:
            by_key.setdefault(key, name[:_LONGEST])
    return list(by_key.values())


def _add_release(release: StoredRelease, concepts: Concepts) -> None:
    """Take a release's names; not what ICD-10-CM says of causes and encounters, which is the same many times over."""
    system = release.head.system
    if system not in (*CODE_SYSTEMS.values(), HPO):
        return
    for name in release.all_names():
        is_repeated = system == ICD10CM and (name.code[0] in "VWXY" or len(name.code) == _SEVENTH_CHARACTER)
        if name.kind != "index" and not is_repeated:
            concepts.name(f"{system} {name.code}", name.text)


def _add_file(path: Path, concepts: Concepts) -> None:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path} cannot be read: {error}") from error
    if path.name.endswith(".sssom.tsv"):
        _add_sssom(text, concepts)
    elif path.suffix == ".pubtator":
        _add_mentions(text, concepts)
    elif path.suffix in (".csv", ".tsv"):
        _add_table(path, text, concepts)
    else:
        raise TrainingError(f"{path}: names are read from .sssom.tsv, .pubtator, .csv and .tsv (concept,name)")


def _add_sssom(text: str, concepts: Concepts) -> None:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
        if row.get("predicate_id") == _EXACT and row.get("subject_id") and row.get("object_id"):
            concepts.unite(identifier_of(row["subject_id"]), identifier_of(row["object_id"]))
            for side in ("subject", "object"):
                if row.get(f"{side}_label"):
                    concepts.name(identifier_of(row[f"{side}_id"]), row[f"{side}_label"])


def _add_mentions(text: str, concepts: Concepts) -> None:
    for line in text.splitlines():
        cells = line.split("\t")
        # Of a mention that means several things none is its name.
        if len(cells) == 6 and cells[5] not in ("", "-1") and not re.search(r"[|+,;]", cells[5]):
            concepts.name(identifier_of(cells[5]), cells[3])


def _add_table(path: Path, text: str, concepts: Concepts) -> None:
    reader = csv.reader(text.splitlines(), delimiter="\t" if path.suffix == ".tsv" else ",")
    header = next(reader, [])
    if header[:2] != ["concept", "name"]:
        raise TrainingError(f"{path}: the header is {','.join(header)}, expected concept,name")
    for cells in reader:
        if len(cells) < 2:
            raise TrainingError(f"{path}:{reader.line_num}: expected concept,name")
        concepts.name(identifier_of(cells[0]), cells[1])


def identifier_of(written: str) -> str:
    """Return an identifier in one form: "D014262", "mesh:D014262" and "MSH:D014262" are "MESH:D014262"."""
    written = written.strip()
    if _BARE_MESH.match(written):
        return f"MESH:{written}"
    prefix, _, rest = written.partition(":")
    prefix = prefix.upper()
    if prefix in _SYSTEMS:
        return f"{_SYSTEMS[prefix]} {rest}"
    return f"{'MESH' if prefix == 'MSH' else prefix}:{rest}" if rest else written
