"""Measure the whole way, from a note to its checked Bundle, on notes of about 3,000 characters.

Run: make benchmark. Prints notes and characters per CPU second (of this process and its threads), the ratio to
medspaCy's default pipeline on the same notes in the same run, the time of each stage, start-up and memory.

The measured notes are none that the process has seen before; other notes have warmed it up. "Again" measures the same
notes a second time: what a note repeats of earlier ones is remembered.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import permutations
from pathlib import Path
from statistics import median
from typing import TypeVar

import psutil
from rich.console import Console
from rich.table import Table

Item = TypeVar("Item")

LENGTH = 3000
NOTES = 150
REFERENCES = Path(os.environ.get("FHIR_CODER_REFERENCES", Path(__file__).resolve().parents[2] / "shared" / "data"))
GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden" / "notes"
_STARTING = (
    "import time, resource; begun = time.perf_counter();"
    "from fhir_coder import Coder; Coder.from_settings();"
    "print(time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
)


def notes() -> tuple[str, list[str], list[str]]:
    """Return where the notes are from, those to warm up with, and those to measure.

    The transcriptions of MTSamples where the references are present (FHIR_CODER_REFERENCES, else ../shared/data);
    otherwise pairs of the golden notes, of which the first half of each is seen more than once.
    """
    corpus = REFERENCES / "corpora" / "mtsamples" / "notes.jsonl.gz"
    if corpus.exists():
        with gzip.open(corpus, "rt", encoding="utf-8") as lines:
            texts = [json.loads(line)["transcription"] for line in lines]
        long = [text[:LENGTH] for text in dict.fromkeys(texts) if len(text) >= LENGTH]
        return "MTSamples", long[:NOTES], long[NOTES : 2 * NOTES]
    golden = [path.read_text(encoding="utf-8") for path in sorted(GOLDEN.glob("*.txt"))]
    pairs = [f"{first}\n\n{second}"[:LENGTH] for first, second in permutations(golden, 2)]
    return "pairs of golden notes", pairs[: len(pairs) // 2 : 2], pairs[len(pairs) // 2 :: 2]


@contextmanager
def cpu(seconds: list[float]) -> Iterator[None]:
    """Add the CPU seconds of the block to `seconds`."""
    begun = time.process_time()
    yield
    seconds.append(time.process_time() - begun)


def measure(items: Sequence[Item], work: Callable[[Item], object]) -> float:
    """Return CPU seconds per item."""
    spent: list[float] = []
    for item in items:
        with cpu(spent):
            work(item)
    return sum(spent) / len(spent)


def start_up() -> tuple[float, float]:
    """Return the median seconds from the interpreter's start to a loaded coder, and peak memory in MB."""
    runs = []
    for _ in range(3):
        printed = subprocess.run([sys.executable, "-c", _STARTING], check=True, capture_output=True, text=True).stdout
        runs.append(tuple(float(figure) for figure in printed.split()))
    return median(seconds for seconds, _ in runs), max(memory for _, memory in runs)


def main() -> None:
    """Measure and print."""
    seconds, memory = start_up()
    from fhir_coder import Coder, Note, to_bundle
    from fhir_coder.fhir.checks import check
    from fhir_coder.linking.linker import SYSTEMS, Query

    coder = Coder.from_settings()
    origin, before, texts = notes()
    length = sum(map(len, texts)) / len(texts)
    encoder_seconds: list[float] = []
    with cpu(encoder_seconds):
        coder.lookup("icd10cm", "too much sugar in the blood")  # the dense stage is loaded when it is first needed

    def whole(text: str) -> None:
        check(to_bundle(coder(Note(text=text))))

    for text in before:
        whole(text)
    first = measure(texts, whole)
    again = measure(texts, whole)
    read = [coder.reader.read(text) for text in texts]
    coded = [coder(Note(text=text)) for text in texts]
    bundles = [to_bundle(note) for note in coded]
    queries = [
        [Query(reading.meaning, SYSTEMS[reading.entity.type], reading.names) for reading in readings]
        for _, readings in read
    ]
    stages = {
        "read (sections, dictionary, ConText, attributes)": measure(texts, coder.reader.read),
        "link and choose": measure(queries, coder.linker.link),
        "build the Bundle": measure(coded, to_bundle),
        "check the Bundle": measure(bundles, check),
    }
    baseline = measure(texts[:10], medspacy_default())

    console = Console(width=100)
    table = Table(title=f"{len(texts)} notes ({origin}) of {length:,.0f} characters", title_justify="left")
    for column in ("Whole way, note to checked Bundle", "ms a note", "notes/CPU s", "characters/CPU s", "ratio"):
        table.add_column(column, justify="left" if column.startswith("Whole") else "right")
    for name, spent in {
        "fhir_coder, notes not seen before": first,
        "fhir_coder, again": again,
        "baseline: medspaCy's default pipeline, no coding": baseline,
    }.items():
        table.add_row(
            name, f"{spent * 1e3:.1f}", f"{1 / spent:.0f}", f"{length / spent:,.0f}", f"{baseline / spent:.1f}"
        )
    console.print(table)
    for name, spent in stages.items():
        console.print(f"  {name:50} {spent * 1e3:6.1f} ms")
    console.print(
        f"  start-up {seconds:.1f} s, {memory:.0f} MB; the encoder, when first needed, {encoder_seconds[0]:.1f} CPU s"
    )
    console.print(f"  resident after the run, encoder loaded: {_resident():.0f} MB")


def medspacy_default() -> Callable[[str], object]:
    """Return medspaCy's default pipeline: tokenizer, PyRuSH, target matcher, ConText."""
    from loguru import logger

    logger.disable("PyRuSH")
    import medspacy

    pipeline: Callable[[str], object] = medspacy.load()
    return pipeline


def _resident() -> float:
    return psutil.Process().memory_info().rss / 1e6


if __name__ == "__main__":
    main()
