"""Plain CSV, for what no publisher ships: a hospital's own synonyms, or a small code system of its own.

Columns `system,code,name,type`, in any order and more of them allowed; RFC 4180, in UTF-8. `system` is a URI or one of
our short names; `type` an entity type, or empty: it is enough in one row of a code. The first name of a code is its
display.

For a code system that has a complete release, the names are added to it (a supplement). For any other, the file is the
complete release: it says which codes there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from fhir_coder.model import CODE_SYSTEMS, HPO, EntityType
from fhir_coder.terminology.release import Concept, Fact, Import, Name, NameKind, Options, Release
from fhir_coder.terminology.source import Source, SourceFile

NAME = "csv"
TITLE = "plain CSV with the columns system,code,name,type"

_COLUMNS = ("system", "code", "name", "type")
_SHORT_NAMES: Mapping[str, str] = MappingProxyType({**CODE_SYSTEMS, "hpo": HPO})
_HAVE_RELEASES = frozenset(_SHORT_NAMES.values())
_TYPES = frozenset(EntityType)
_LONGEST_CODE = 100  # characters
_LONGEST_MENTION = 6  # words
_MOST_SYSTEMS = 50  # each becomes a release


def recognises(source: Source) -> bool:
    """Tell whether there is one CSV file with these columns."""
    files = source.find("*.csv")
    if len(files) != 1:
        return False
    header = files[0].head().removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0].decode("latin-1")
    return set(_COLUMNS) <= {name.strip().strip('"') for name in header.split(",")}


def load(source: Source, options: Options) -> Import:
    """Return one release per code system of the file.

    It is read twice: the systems have to be known first, and so has the type that a later row gives to a code.
    Raises `TerminologyError` for a row without code or name, an unknown type, or when --version is missing.
    """
    file = source.only("*.csv")
    version = options.version
    if not version:
        raise file.error("the file does not say its version: give --version")
    types = _types(file)
    releases = tuple(
        Release(
            system=system,
            version=version,
            title=f"{file.base_name} for {system}",
            kind="supplement" if system in _HAVE_RELEASES else "complete",
        )
        for system in types
    )
    return Import(releases=releases, facts=_facts(file, types))


def _types(file: SourceFile) -> dict[str, dict[str, str]]:
    """Return the code systems and, of each, the types of its codes. Every row is checked here."""
    types: dict[str, dict[str, str]] = {}
    for line, row in file.records(_COLUMNS):
        system, code, type_ = _system(file, line, row["system"].strip()), row["code"].strip(), row["type"].strip()
        if not 0 < len(code) <= _LONGEST_CODE:
            raise file.error(f"a code has from 1 to {_LONGEST_CODE} characters", line, "code")
        if not row["name"].strip():
            raise file.error("the name is missing", line, "name")
        if type_ and type_ not in _TYPES:
            raise file.error(f"{type_[:40]!r} is none of {', '.join(EntityType)}", line, "type")
        known = types.setdefault(system, {})
        if len(types) > _MOST_SYSTEMS:
            raise file.error(f"more than {_MOST_SYSTEMS} code systems; is the column the right one?", line, "system")
        if type_ and known.setdefault(code, type_) != type_:
            raise file.error(f"{code} is a {type_} here, but a {known[code]} above", line, "type")
    return types


def _system(file: SourceFile, line: int, system: str) -> str:
    if system in _SHORT_NAMES:
        return _SHORT_NAMES[system]
    if ":" not in system.strip(":") or len(system.split()) != 1:
        raise file.error(f"{system[:100]!r} is neither a URI nor one of {', '.join(_SHORT_NAMES)}", line, "system")
    return system


def _facts(file: SourceFile, types: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[int, Fact]]:
    index = {system: number for number, system in enumerate(types)}
    seen: list[set[str]] = [set() for _ in types]
    for line, row in file.records(_COLUMNS):
        system, code, name = _system(file, line, row["system"].strip()), row["code"].strip(), row["name"].strip()
        at = index[system]
        supplements = system in _HAVE_RELEASES
        kind: NameKind = "synonym"
        if code not in seen[at]:
            seen[at].add(code)
            yield at, Concept(code, "" if supplements else name, types[system].get(code, ""))
            kind = "synonym" if supplements else "preferred"
        yield at, Name(code, name, kind, _is_mention(name, code))


def _is_mention(name: str, code: str) -> bool:
    return len(name.split()) <= _LONGEST_MENTION and "," not in name and "(" not in name and name != code
