"""CodiEsp (Miranda-Escalada 2020): clinical cases, machine-translated from Spanish, with ICD-10-CM codes per document.

A folder with `<split>_icd10cm.tsv` (document TAB code) and `<split>_text_en/<document>.txt`; or one such table, for its
split alone. Codes are of the ICD-10-CM of 2018, its Spanish edition. Spans of the translation are not annotated.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fhir_coder.corpora.annotated import AnnotatedNote
from fhir_coder.corpora.source import Rules, files_in, note, numbered_lines, read_text

TABLE = "_icd10cm.tsv"


def read(path: Path, rules: Rules) -> Iterator[AnnotatedNote]:
    """Yield the notes of a folder or table, each with the codes of the document. Raises `CorpusError`."""
    for table in [path] if path.is_file() else files_in(path, f"*{TABLE}"):
        codes: dict[str, dict[str, None]] = {}
        for number, line in numbered_lines(table):
            if not line.strip():
                continue
            document, _, code = line.partition("\t")
            if not _is_name(document) or not code.strip() or "\t" in code:
                rules.refuse("not a document and its code", f"{table.name}:{number}")
            else:
                codes.setdefault(document, {})[code.strip().upper()] = None
        folder = table.with_name(table.name.removesuffix(TABLE) + "_text_en")
        for document, found in codes.items():
            text = read_text(folder / f"{document}.txt")
            yield note(document, text, [], f"{document}.txt", tuple(found))


def _is_name(document: str) -> bool:
    """Whether it is a file's name and does not lead out of the folder."""
    return bool(document.strip()) and not set(document) & set("/\\\0") and document not in (".", "..")
