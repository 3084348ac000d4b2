"""How well entities are found: the dictionary, the trained recogniser, and both, on notes that it was not trained on.

The held-out fifth of the dev parts of four public corpora (chosen by a hash of the note's id, see
fhir_coder/models/ner/MODEL_CARD.md), strictly (both ends and the type) and relaxed (overlap and the type). The corpora
are looked for in ../shared/data/corpora, or where FHIR_CODER_REFERENCES says; without them nothing is measured.

Run: .venv/bin/python benchmarks/recogniser.py
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from fhir_coder.corpora.annotated import AnnotatedNote
from fhir_coder.corpora.read import read_corpus
from fhir_coder.nlp.reader import Reader
from fhir_coder.nlp.recogniser import Recogniser, Span, embedded_recogniser
from fhir_coder.pipeline import Coder
from fhir_coder.settings import Settings
from fhir_coder.training.score import score
from fhir_coder.training.targets import Corpus, corpus

PARTS = {  # dev part, and the part that tells which types the corpus annotates
    "BC5CDR": ("bc5cdr/dev.pubtator", "bc5cdr/train.pubtator"),
    "NCBI Disease": ("ncbi_disease/dev.pubtator", "ncbi_disease/train.pubtator"),
    "BioRED": ("biored/dev.pubtator", "biored/train.pubtator"),
    "MACCROBAT": ("maccrobat2020", "maccrobat2020"),
}
Find = Callable[[str], Sequence[Span]]


def main() -> int:
    """Print one row per corpus, kind of span and finder."""
    folder = Path(os.environ.get("FHIR_CODER_REFERENCES", "../shared/data")) / "corpora"
    if not folder.is_dir():
        print(f"skipped: {folder} is not there", file=sys.stderr)
        return 0
    recogniser = Recogniser.load(embedded_recogniser())
    store = Coder.from_settings(Settings.load(encoder="none", recogniser="none")).store
    finders: dict[str, Find] = {
        "baseline: the dictionary": _reading(Reader(store)),
        "the recogniser": lambda text: recogniser.read(text).spans,
        "both": _reading(Reader(store, recogniser)),
    }
    print("| corpus | notes | type | marks | found by | precision | recall | strict F1 | relaxed F1 |")
    print("|---|---|---|---|---|---|---|---|---|")
    seconds = dict.fromkeys(finders, 0.0)
    for name, (dev, train) in PARTS.items():
        types = corpus(name, _notes(folder / train)).types
        held = [note for note in _notes(folder / dev) if _is_held_out(name, note)]
        for finder, find in finders.items():
            began = time.process_time()
            found = [find(note.text) for note in held]
            seconds[finder] += time.process_time() - began
            _print(corpus(name, held, types), finder, found)
    print(*(f"{finder}: {cpu:.1f} CPU s" for finder, cpu in seconds.items()), sep="; ")
    return 0


def _notes(path: Path) -> list[AnnotatedNote]:
    return list(read_corpus(path, None, None, faults=[]))


def _is_held_out(name: str, note: AnnotatedNote) -> bool:
    def fifth(key: str) -> bool:
        return int(sha256(key.encode()).hexdigest(), 16) % 5 == 0

    # MACCROBAT has no dev part of its own: a fifth of it is taken for one.
    return fifth("h" + note.id) and (name != "MACCROBAT" or fifth(note.id))


def _reading(reader: Reader) -> Find:
    def find(text: str) -> list[Span]:
        entities = (reading.entity for reading in reader.read(text)[1])
        return [Span(entity.start, entity.end, entity.type, 1.0) for entity in entities]

    return find


def _print(source: Corpus, finder: str, found: Sequence[Sequence[Span]]) -> None:
    pairs = [(source.gold(note), list(spans)) for note, spans in zip(source.notes, found, strict=True)]
    strict = score(pairs, source.silent, strict=True)
    relaxed = score(pairs, source.silent, strict=False)
    for kind, one in strict.items():
        print(
            f"| {source.name} | {len(source.notes)} | {kind.replace('|', ' or ')} | {one.there} | {finder} "
            f"| {one.precision:.3f} | {one.recall:.3f} | {one.f1:.3f} | {relaxed[kind].f1:.3f} |"
        )


if __name__ == "__main__":
    raise SystemExit(main())
