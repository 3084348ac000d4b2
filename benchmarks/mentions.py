"""Measure acc@1 of disease mentions (NCBI Disease and BC5CDR, development parts) against disease names.

Run: .venv/bin/python benchmarks/mentions.py --corpora DIR --terminology DIR [--encoder embedded|minilm|FOLDER ...]

DIR/ncbi_disease and DIR/bc5cdr hold train.pubtator and dev.pubtator; DIR/mondo the SSSOM files of Mondo's exact
matches, DIR/doid HumanDO.tsv and allXREFinDO.tsv of the Disease Ontology. MEDIC, against which others report, comes
with none of these: the names here are those of Mondo, DOID and HPO that have a MeSH or OMIM identifier, and cover
fewer concepts, so accuracy is given over all mentions, and over those whose concept is there. Left out are mentions of
several concepts or of none; abbreviations that a document defines are written out, as in notes. "known" adds the
mentions of the training parts as names; what they mean most often goes before other concepts of that name.
"""

from __future__ import annotations

import argparse
import csv
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from fhir_coder.linking import dense, lexical, spelling
from fhir_coder.linking.encoder import Encoder
from fhir_coder.model import SNOMED
from fhir_coder.nlp.definitions import definitions
from fhir_coder.pipeline import Coder
from fhir_coder.prepare import encoder_folder, vectors_folder
from fhir_coder.settings import Settings
from fhir_coder.terminology.embedded import _hpo_file
from fhir_coder.terminology.importer import store
from fhir_coder.terminology.normalise import normalise
from fhir_coder.terminology.release import Concept, Fact, Import, Name, Release
from fhir_coder.terminology.stored_release import StoredRelease
from fhir_coder.training.synonyms import Concepts, identifier_of, read_concepts

CORPORA = {"NCBI": "ncbi_disease", "BC5CDR": "bc5cdr"}
_DISEASES = {"Disease", "SpecificDisease", "DiseaseClass", "Modifier", "CompositeMention"}
_SYNONYM = re.compile(r'synonym: "(.*?)" EXACT')


def names(terminology: Path, mentions: Sequence[Path]) -> Concepts:
    """Return the names of diseases; those of `mentions`, too."""
    found = read_concepts([], [*sorted((terminology / "mondo").glob("mondo_exactmatch_*.sssom.tsv")), *mentions])
    for row in _rows(terminology / "doid" / "HumanDO.tsv"):
        found.name(identifier_of(row["id"]), row["label"])
    for row in _rows(terminology / "doid" / "allXREFinDO.tsv"):
        if row["xref"].startswith(("MESH:", "MIM:")):
            found.unite(_omim(row["xref"]), identifier_of(row["id"]))
    for term in _hpo_file().read_text(encoding="utf-8").split("\n[Term]\n")[1:]:
        lines = term.splitlines()
        identifier = lines[0].removeprefix("id: ")
        found.name(identifier, lines[1].removeprefix("name: "))
        for line in lines:
            if synonym := _SYNONYM.match(line):
                found.name(identifier, synonym[1])
            if line.startswith("xref: UMLS:"):
                found.unite(identifier, identifier_of(line.split()[1]))
    return found


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines, delimiter="\t")


def _omim(identifier: str) -> str:
    prefix, _, code = identifier.partition(":")
    return f"OMIM:{code}" if prefix in ("MIM", "OMIM") else identifier_of(identifier)


def gold(path: Path) -> list[tuple[str, str]]:
    """Return the disease mentions of a corpus, and the identifier of each.

    An abbreviation that the document defines is written out, as the reader of notes does it.
    """
    found = []
    for document in path.read_text(encoding="utf-8").split("\n\n"):
        lines = document.splitlines()
        text = "\n".join(line.split("|", 2)[2] for line in lines if re.match(r"\d+\|[ta]\|", line))
        meant = {each.short: text[each.start : each.end] for each in definitions(text)}
        rows = (line.split("\t") for line in lines)
        found += [(_written_out(cells[3], meant), _omim(cells[5])) for cells in rows if _is_one_disease(cells)]
    return found


def _is_one_disease(cells: Sequence[str]) -> bool:
    return len(cells) == 6 and cells[4] in _DISEASES and cells[5] != "-1" and not re.search(r"[|+,;]", cells[5])


def _written_out(mention: str, meant: Mapping[str, str]) -> str:
    return re.sub(r"[\w/-]+", lambda word: meant.get(word[0], word[0]), mention)


def usual(known: Concepts, mentions: Sequence[Path]) -> dict[str, tuple[str, str]]:
    """Return the mentions of corpora by their normal form: as written, and the code of what they mean most often."""
    counts: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for text, identifier in (each for path in mentions for each in gold(path)):
        counts[normalise(text)][text, known.root(identifier)] += 1
    return {key: of_key.most_common(1)[0][0] for key, of_key in counts.items() if key}


def stored(
    known: Concepts, everyday: Mapping[str, tuple[str, str]], folder: Path, encoder: Encoder, settings: Settings
) -> tuple[list[Path], set[str]]:
    """Store the names as a release, and what is usually meant as another beside it; return both and the codes."""
    facts: list[Fact] = []
    codes = set()
    coded = {known.root(each) for each in known.identifiers() if each.startswith(("MESH:", "OMIM:"))}
    for code, texts in known.groups():
        if code in coded:
            codes.add(code)
            facts.append(Concept(code, texts[0], "disease"))
            facts += [Name(code, text, "synonym", False) for text in dict.fromkeys(texts)]
    meant = [(text, code) for text, code in everyday.values() if code in codes]
    beside: list[Fact] = [Concept(code, "", "disease") for code in dict.fromkeys(code for _, code in meant)]
    beside += [Name(code, text, "synonym", False) for text, code in meant]
    folders = []
    for title, of_release in (("diseases", facts), ("usual", beside)):
        if of_release:
            folders.append(_stored(title, of_release, folder / title, encoder, settings))
    return folders, codes


def _stored(title: str, facts: Sequence[Fact], folder: Path, encoder: Encoder, settings: Settings) -> Path:
    folder.mkdir()
    release = Release(system=SNOMED, version=title, title=title)
    (done,) = store(Import(releases=(release,), facts=((0, fact) for fact in facts)), folder, lambda *_: None)
    opened = StoredRelease(done.folder)
    lexical.build(opened, done.folder, lambda _: None)
    spelling.build(opened, done.folder, lambda _: None)
    place = done.folder / vectors_folder(settings)
    dense.build(dense.encoded_names(opened), place, encoder, lambda _: None)
    opened.close()
    return done.folder


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--terminology", type=Path, required=True)
    parser.add_argument("--encoder", nargs="+", default=["embedded"])
    given = parser.parse_args()
    table = Table(title="acc@1 of disease mentions, of all / of those whose concept has a name")
    for column in ("encoder", "names", "corpus", "mentions", "there", "dense only", "cascade"):
        table.add_column(column, justify="right")
    for each in given.encoder:
        settings = Settings.load(encoder=each)
        model = encoder_folder(settings)
        if model is None:
            raise SystemExit("name an encoder")
        encoder = Encoder(model, settings.encoder_pooling, settings.encoder_instruction)
        for kind in ("plain", "known"):
            training = [given.corpora / folder / "train.pubtator" for folder in CORPORA.values()]
            known = names(given.terminology, training if kind == "known" else [])
            with tempfile.TemporaryDirectory() as scratch:
                folders, codes = stored(known, usual(known, training), Path(scratch), encoder, settings)
                coder = Coder(settings, folders)
                for corpus, place in CORPORA.items():
                    asked = gold(given.corpora / place / "dev.pubtator")
                    table.add_row(Path(each).name, kind, corpus, *measured(coder, asked, known, codes))
                coder.store.close()
    Console(width=120).print(table)


def measured(coder: Coder, asked: Sequence[tuple[str, str]], known: Concepts, codes: set[str]) -> list[str]:
    """Return the cells of a row."""
    texts = list(dict.fromkeys(text for text, _ in asked))
    answers = coder.linker.lookup_many([(text, SNOMED) for text in texts], 1)
    cascade = {text: found[0].code if found else "" for text, found in zip(texts, answers, strict=True)}
    near = coder.linker._similar._dense
    if near is None:
        raise SystemExit("name an encoder")
    hits = near.search(near.encode([text.lower() for text in texts]), SNOMED, 1)
    alone = {text: found[0].release.name(found[0].row).code for text, found in zip(texts, hits, strict=True)}
    there = [known.root(code) in codes for _, code in asked]
    cells = [str(len(asked)), str(sum(there))]
    for way in (alone, cascade):
        right = sum(way[text] == known.root(code) for text, code in asked)
        cells.append(f"{right / len(asked):.3f} / {right / sum(there):.3f}")
    return cells


if __name__ == "__main__":
    main()
