"""Measure the import of whole releases, the start on all of them, and lookups, with synthetic releases of full size.

Run: .venv/bin/python benchmarks/terminology.py [--scale 0.01] [--only snomed]. The releases are written in the true
formats of their publishers and imported by the real command, each in a process of its own; what was stored is compared
with what was written. The baseline, in the same run: the names of the release, written into SQLite by csv and
executemany without any check, normal form or index; the ratio is that of the CPU seconds.

Memory is the largest resident set of the process (pages of files that it maps included). Nothing is written outside a
temporary folder (--keep: outside that folder).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from synthetic import hcpcs, icd10cm, loinc, rxnorm, snomed, umls
from synthetic.making import SEED, Made, Tick

from fhir_coder.terminology.stored_release import StoredRelease

RELEASES: Mapping[str, Callable[[Path, float, Tick], Made]] = {
    "icd10cm": icd10cm.make,
    "snomed": snomed.make,
    "rxnorm": rxnorm.make,
    "loinc": loinc.make,
    "hcpcs": hcpcs.make,
}
LOOKUPS = 100  # names looked up of each release, as they are and misspelt
SENTENCES = 20  # of the note
_MEGABYTE = 1e6
_MARK = ".fhir-coder-benchmark"  # of a folder that may be written into again
# Rows of the store that the counts of the manifest do not tell.
_TABLES = ("broader", "property")
_BASELINE = """
import csv, sqlite3, sys
connection = sqlite3.connect(sys.argv[2])
connection.execute("CREATE TABLE name (code TEXT, text TEXT)")
with open(sys.argv[1], encoding="utf-8", newline="") as lines:
    connection.executemany("INSERT INTO name VALUES (?, ?)", csv.reader(lines))
connection.commit()
"""
_START = """
import json, sys, time
asked = json.load(sys.stdin)
from pathlib import Path
from fhir_coder import Coder, Note
from fhir_coder.settings import Settings

def memory():
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return {line.split(":")[0]: int(line.split()[1]) / 1e3 for line in lines if line.startswith(("VmHWM", "RssAnon"))}

coder = Coder.from_settings(Settings(encoder="none", data_dir=Path(asked["data"])))
loaded = time.time() - asked["begun"]
entities = len(coder(Note(text=asked["note"])).entities)
done = {"loaded": loaded, "coded": time.time() - asked["begun"], "entities": entities, "start": memory(), "lookups": {}}
done["cpu"] = time.process_time()
begun = time.perf_counter()
coder(Note(text=asked["second note"]))
done["second note"] = time.perf_counter() - begun
for system, kinds in asked["lookups"].items():
    for kind, pairs in kinds.items():
        if kind == "misspelt":  # the trigram index is read when it is first needed
            coder.lookup(system, "qwertz asdf")
        spent, found = [], 0
        for code, text in pairs:
            begun = time.perf_counter()
            candidates = coder.lookup(system, text)
            spent.append(time.perf_counter() - begun)
            found += code in [candidate.code for candidate in candidates]
        spent.sort()
        if pairs:
            done["lookups"][f"{system} {kind}"] = {
                "median": spent[len(spent) // 2], "slow": spent[len(spent) * 95 // 100], "found": found / len(pairs)
            }
done["end"] = memory()
print(json.dumps(done))
"""
_VECTORS = """
import json, sys, time
from pathlib import Path
from fhir_coder.linking import dense
from fhir_coder.linking.encoder import Encoder, minilm_folder
from fhir_coder.terminology.stored_release import StoredRelease
asked = json.load(sys.stdin)
encoder = Encoder(minilm_folder(), "mean")
encoder.encode_names(asked["texts"][:100], lambda names: None)
begun = time.perf_counter()
encoder.encode_names(asked["texts"], lambda names: None)
spent = time.perf_counter() - begun
print(json.dumps([spent, sum(len(dense.encoded_names(StoredRelease(Path(place)))) for place in asked["releases"])]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a process took."""

    seconds: float
    cpu: float  # seconds
    megabytes: float
    output: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """An import: what it took and came to, and what the baseline took for the same names."""

    name: str
    generating: float  # seconds
    written: int  # bytes of the files that were imported
    cost: Cost
    stored: int  # bytes
    counts: Counter[str]
    baseline: Cost
    baseline_stored: int


def run(command: Sequence[str], data: Path, text: str = "") -> Cost:
    """Run a command of ours on a data folder and return what it took. Raises `RuntimeError` when it fails."""
    settings = {"FHIR_CODER_DATA_DIR": str(data), "FHIR_CODER_ENCODER": "none", "COLUMNS": "200"}
    others = {name: value for name, value in os.environ.items() if not name.startswith("FHIR_CODER_")}
    with (
        tempfile.TemporaryFile("w+") as given,
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as errors,
    ):
        given.write(text)
        given.seek(0)
        before = os.times()
        begun = time.perf_counter()
        process = subprocess.Popen(command, env=others | settings, stdin=given, stdout=out, stderr=errors)
        status = Path(f"/proc/{process.pid}/status")
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, _high_water(status))
            time.sleep(0.02)
        seconds = time.perf_counter() - begun
        after = os.times()
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        out.seek(0)
        errors.seek(0)
        if process.returncode:
            raise RuntimeError(f"{command}: {out.read()}{errors.read()}")
        return Cost(seconds=seconds, cpu=cpu, megabytes=peak, output=out.read())


def _high_water(status: Path) -> float:
    """Return the largest resident set so far, in MB: `ru_maxrss` of a child begins with that of its parent."""
    try:
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1e3
    except OSError:  # it has ended, or there is no /proc
        pass
    return 0.0


def size(path: Path) -> int:
    """Return the bytes of a file, or of all below a folder."""
    return (
        sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.is_dir() else path.stat().st_size
    )


@contextmanager
def ticking(name: str) -> Iterator[Tick]:
    """Show the progress of writing a release."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=Console(stderr=True)) as progress:

        def tick(what: str, rows: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(f"Writing {name}: {what}", total=rows)
            elif rows < 0:
                progress.advance(tasks[what], -rows)

        yield tick


def imported(
    name: str, make: Callable[[Path, Any, Tick], Made], amount: float, root: Path, keep: bool
) -> tuple[Measured, Made]:
    """Write a release, import it, compare, and measure."""
    folder = root / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    begun = time.perf_counter()
    with ticking(name) as tick:
        made = make(folder, amount, tick)
    generating = time.perf_counter() - begun
    plain = folder / "baseline.sqlite"
    baseline = run([sys.executable, "-c", _BASELINE, str(made.names), str(plain)], root / "data")
    cost = run([sys.executable, "-m", "fhir_coder", "terminology", "import", str(made.path)], root / "data")
    stored = compare(name, made, root / "data")
    measured = Measured(
        name=name,
        generating=generating,
        written=size(made.path),
        cost=cost,
        stored=sum(size(place) for place in stored),
        counts=made.counts,
        baseline=baseline,
        baseline_stored=size(plain),
    )
    plain.unlink()
    if not keep:
        shutil.rmtree(made.path) if made.path.is_dir() else made.path.unlink()
    return measured, made


def releases(data: Path, name: str) -> list[Path]:
    """Return the folders of what was imported of a system, or from UMLS."""
    places = sorted((data / "terminology" / "imported").iterdir())
    if name == "umls":
        return [place for place in places if place.name.endswith("-umls")]
    return [place for place in places if place.name.startswith(f"{name}-") and not place.name.endswith("-umls")]


def compare(name: str, made: Made, data: Path) -> list[Path]:
    """Return the folders of a release that was just imported.

    Raises `AssertionError` when what is stored is not what was written.
    """
    places = releases(data, name)
    found: Counter[str] = Counter()
    for place in places:
        found.update(json.loads((place / "manifest.json").read_bytes())["counts"])
        with sqlite3.connect(place / "release.sqlite") as connection:
            for table in _TABLES:
                found[table] += connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        connection.close()
    for what, count in made.counts.items():
        if found[what] != count:
            raise AssertionError(f"{name}: {found[what]:,} {what} are stored, but {count:,} were written")
    for code, text in made.samples:
        if not any(_is_stored(place, code, text) for place in places):
            raise AssertionError(f"{name}: {text!r}, a name of {code}, is not stored")
    return places


def _is_stored(place: Path, code: str, text: str) -> bool:
    release = StoredRelease(place)
    texts = {name.text for name in release.names_of(code)}
    release.close()
    return text in texts


def active_samples(name: str, made: Made, data: Path) -> list[tuple[str, str]]:
    """Return the sampled names of codes that may be chosen."""
    (place,) = releases(data, name)
    connection = sqlite3.connect(place / "release.sqlite")
    query = "SELECT status FROM concept WHERE code = ?"
    chosen = [
        (code, text) for code, text in made.samples if connection.execute(query, (code,)).fetchone()[0] == "active"
    ]
    connection.close()
    return chosen[:LOOKUPS]


def misspelt(text: str) -> str:
    """Return a text with two letters of its longest word exchanged."""
    word = max(text.split(), key=len)
    at = len(word) // 2
    return text.replace(word, word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :], 1)


def start(data: Path, samples: Mapping[str, list[tuple[str, str]]], *, and_look_up: bool) -> dict[str, Any]:
    """Start a coder on all that is in the data folder, code a note, look names up; return what each took."""
    names = [text for pairs in samples.values() for _, text in pairs if "," not in text]
    random.Random(SEED).shuffle(names)  # noqa: S311 -- to be the same each time
    notes = [
        "PROBLEMS\n" + "\n".join(f"The patient has {name}." for name in names[at : at + SENTENCES])
        for at in (0, SENTENCES)
    ]
    lookups = {
        system: {"as it is": pairs, "misspelt": [(code, misspelt(text)) for code, text in pairs]}
        for system, pairs in samples.items()
        if and_look_up
    }
    asked = {"data": str(data), "note": notes[0], "second note": notes[1], "lookups": lookups, "begun": time.time()}
    found: dict[str, Any] = json.loads(run([sys.executable, "-c", _START], data, json.dumps(asked)).output)
    return found


def forget_files(folder: Path) -> bool:
    """Take the files below a folder out of the page cache; return whether that can be done here."""
    if not hasattr(os, "posix_fadvise"):
        return False
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True


def print_imports(console: Console, measured: Sequence[Measured]) -> None:
    """Print the table of the imports."""
    table = Table(title="Import, one process each", title_justify="left")
    for column in (
        "release",
        "files MB",
        "seconds",
        "CPU s",
        "memory MB",
        "disk MB",
        "concepts",
        "names",
        "names/CPU s",
        "ratio",
    ):
        table.add_column(column, justify="left" if column == "release" else "right")

    def row(name: str, written: float, cost: Cost, stored: float, concepts: int, names: int, ratio: float) -> None:
        table.add_row(
            *(
                name,
                f"{written / _MEGABYTE:,.0f}",
                f"{cost.seconds:,.1f}",
                f"{cost.cpu:,.1f}",
                f"{cost.megabytes:,.0f}",
            ),
            *(
                f"{stored / _MEGABYTE:,.0f}",
                f"{concepts:,}",
                f"{names:,}",
                f"{names / cost.cpu:,.0f}",
                f"{ratio:.1f}",
            ),
        )

    for each in measured:
        row(
            *(each.name, each.written, each.cost, each.stored, each.counts["concepts"], each.counts["names"]),
            each.cost.cpu / each.baseline.cpu,
        )
    total = _total([each.cost for each in measured])
    baseline = _total([each.baseline for each in measured])
    concepts, names = (sum(each.counts[what] for each in measured) for what in ("concepts", "names"))
    written = sum(each.written for each in measured)
    table.add_section()
    row("all", written, total, sum(each.stored for each in measured), concepts, names, total.cpu / baseline.cpu)
    row(
        *("baseline: csv into SQLite, names only", 0, baseline, sum(each.baseline_stored for each in measured)),
        *(0, names, 1.0),
    )
    console.print(table)
    console.print(f"  written before, not counted: {sum(each.generating for each in measured):,.0f} s")


def _total(costs: Sequence[Cost]) -> Cost:
    return Cost(
        seconds=sum(cost.seconds for cost in costs),
        cpu=sum(cost.cpu for cost in costs),
        megabytes=max(cost.megabytes for cost in costs),
    )


def print_start(console: Console, cold: Mapping[str, Any], warm: Mapping[str, Any], forgotten: bool) -> None:
    """Print what the starts and the lookups took."""
    for name, found in ((f"files {'not ' if forgotten else ''}in the page cache", cold), ("again", warm)):
        memory = found["start"]
        console.print(
            f"  start ({name}): loaded after {found['loaded']:.1f} s, a note of {SENTENCES} sentences coded after "
            f"{found['coded']:.1f} s ({found['cpu']:.1f} CPU s, {found['entities']} entities), a second one in "
            f"{found['second note'] * 1e3:.0f} ms; "
            f"memory {memory.get('VmHWM', 0):,.0f} MB, {memory.get('RssAnon', 0):,.0f} MB of it not of files"
        )
    table = Table(title=f"Lookups, up to {LOOKUPS} names of each release", title_justify="left")
    for column in ("names", "median ms", "95% within ms", "code among the first five"):
        table.add_column(column, justify="left" if column == "names" else "right")
    for name, figures in warm["lookups"].items():
        table.add_row(name, f"{figures['median'] * 1e3:.1f}", f"{figures['slow'] * 1e3:.1f}", f"{figures['found']:.1%}")
    console.print(table)
    end = warm["end"]
    console.print(
        f"  memory after the lookups {end.get('VmHWM', 0):,.0f} MB, {end.get('RssAnon', 0):,.0f} MB of it not of files"
    )


def print_vectors(console: Console, made: Mapping[str, Made], count: int, data: Path) -> None:
    """Encode so many names and print how long all would take."""
    texts = []
    for each in made.values():
        with each.names.open(encoding="utf-8", newline="") as lines:
            texts += [text for _, text in islice(csv.reader(lines), 10 * count)]
    chosen = random.Random(SEED).sample(texts, min(count, len(texts)))  # noqa: S311 -- to be the same each time
    places = [str(place) for name in made for place in releases(data, name)]
    cost = run([sys.executable, "-c", _VECTORS], data, json.dumps({"texts": chosen, "releases": places}))
    seconds, wanted = json.loads(cost.output)
    rate = len(chosen) / seconds
    console.print(
        f"  vectors: {len(chosen):,} names encoded in {seconds:.1f} s, {rate:,.0f} names/s; the {wanted:,} names that "
        f"get one would take {wanted / rate / 3600:.1f} h (extrapolated, without the training of the index)"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full size (default 1)")
    parser.add_argument("--only", action="append", choices=RELEASES, help="only this release; may be repeated")
    parser.add_argument("--keep", type=Path, help="work in this folder and keep it")
    parser.add_argument("--imports-only", action="store_true", help="neither starts nor lookups")
    parser.add_argument("--vectors", type=int, default=0, metavar="N", help="encode N names, too")
    parser.add_argument(
        "--mrconso", type=int, default=0, metavar="LINES", help="import a MRCONSO.RRF of so many lines, too"
    )
    options = parser.parse_args()
    if not 0 < options.scale <= 1:
        parser.error("--scale is above 0, up to 1")
    with tempfile.TemporaryDirectory(prefix="fhir-coder-benchmark-") as temporary:
        root = (options.keep or Path(temporary)).resolve()
        if root.exists() and any(root.iterdir()) and not (root / _MARK).exists():
            parser.error(f"--keep: there is something else in {root}")
        root.mkdir(parents=True, exist_ok=True)
        (root / _MARK).touch()
        shutil.rmtree(root / "data", ignore_errors=True)
        measure(root, options)


def measure(root: Path, options: argparse.Namespace) -> None:
    """Do the imports below a folder, then the starts."""
    console = Console(width=120)
    data = root / "data"
    measured, made = [], {}
    for name in options.only or RELEASES:
        each, made[name] = imported(name, RELEASES[name], options.scale, root, options.keep is not None)
        measured.append(each)
    print_imports(console, measured)
    if not options.imports_only:
        measure_start(console, made, data)
    if options.vectors:
        print_vectors(console, made, options.vectors, data)
    if options.mrconso:
        each, _ = imported("umls", umls.make, options.mrconso, root, options.keep is not None)
        console.print(f"  MRCONSO.RRF of {options.mrconso:,} lines:")
        print_imports(console, [each])


def measure_start(console: Console, made: Mapping[str, Made], data: Path) -> None:
    """Start a coder on what was imported, twice, and look names up."""
    preparing = run([sys.executable, "-m", "fhir_coder", "terminology", "prepare"], data)
    console.print(
        f"  what comes with the program, stored once: {preparing.seconds:.1f} s, {preparing.megabytes:,.0f} MB"
    )
    samples = {name: active_samples(name, each, data) for name, each in made.items()}
    forgotten = forget_files(data)
    cold = start(data, samples, and_look_up=False)
    print_start(console, cold, start(data, samples, and_look_up=True), forgotten)


if __name__ == "__main__":
    main()
