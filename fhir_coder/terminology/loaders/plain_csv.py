"""Plain CSV, for what no publisher ships: a hospital's own synonyms, or a small code system of its own.

Columns `system,code,name,type`, in any order and more of them allowed. `system` is a URI or one of our short names;
`type` an entity type, or empty. The first name of a code is its display.

For a code system that has a complete release, the names are added to it (a supplement). For any other, the file is the
complete release: it says which codes there are.
"""

from __future__ import annotations

from collections.abc import Iterator

from fhir_coder.model import CODE_SYSTEMS, EntityType
from fhir_coder.terminology.release import Concept, Fact, Import, Name, NameKind, Options, Release
from fhir_coder.terminology.source import Source, SourceFile

NAME = "csv"
TITLE = "plain CSV with the columns system,code,name,type"

_COLUMNS = ("system", "code", "name", "type")
_LONGEST_CODE = 100  # characters
_LONGEST_MENTION = 6  # words


def recognises(source: Source) -> bool:
    """Tell whether there is one CSV file with these columns."""
    files = source.find("*.csv")
    if len(files) != 1:
        return False
    header = files[0].head().removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0].decode("latin-1")
    return set(_COLUMNS) <= {name.strip().strip('"') for name in header.split(",")}


def load(source: Source, options: Options) -> Import:
    """Return one release per code system of the file; it is read twice, the systems have to be known first.

    Raises `TerminologyError` for a row without code or name, an unknown type, or when --version is missing.
    """
    (file,) = source.find("*.csv") or source.files[:1]
    version = options.version
    if not version:
        raise file.error("the file does not say its version: give --version")
    systems = list(dict.fromkeys(_system(file, line, row) for line, row in file.records(_COLUMNS)))
    releases = tuple(
        Release(
            system=system,
            version=version,
            title=f"{file.base_name} for {system}",
            kind="supplement" if system in CODE_SYSTEMS.values() else "complete",
        )
        for system in systems
    )
    return Import(releases=releases, facts=_facts(file, systems))


def _facts(file: SourceFile, systems: list[str]) -> Iterator[tuple[int, Fact]]:
    seen: set[tuple[str, str]] = set()
    for line, row in file.records(_COLUMNS):
        system = _system(file, line, row)
        index, code, name = systems.index(system), row["code"].strip(), row["name"].strip()
        if not 0 < len(code) <= _LONGEST_CODE:
            raise file.error(f"a code has from 1 to {_LONGEST_CODE} characters", line, "code")
        if not name:
            raise file.error("the name is missing", line, "name")
        if (system, code) not in seen:
            display = "" if system in CODE_SYSTEMS.values() else name
            yield index, Concept(code, display, _type(file, line, row))
        kind: NameKind = "synonym" if (system, code) in seen or system in CODE_SYSTEMS.values() else "preferred"
        seen.add((system, code))
        yield index, Name(code, name, kind, len(name.split()) <= _LONGEST_MENTION)


def _system(file: SourceFile, line: int, row: dict[str, str]) -> str:
    system = row["system"].strip()
    if system in CODE_SYSTEMS:
        return CODE_SYSTEMS[system]
    if ":" not in system:
        raise file.error(f"{system!r} is neither a URI nor one of {', '.join(CODE_SYSTEMS)}", line, "system")
    return system


def _type(file: SourceFile, line: int, row: dict[str, str]) -> str:
    type_ = row["type"].strip()
    if type_ and type_ not in list(EntityType):
        raise file.error(f"{type_!r} is none of {', '.join(EntityType)}", line, "type")
    return type_
