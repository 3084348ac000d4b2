"""Measure how a description finds its code: the cascade, stage by stage, and the vectors alone, as the index grows.

Run: .venv/bin/python benchmarks/linking.py [--sizes 10000 100000 560000] [--encoder embedded|minilm|FOLDER] [--out
DIR]

The names are those of the releases that come with the program, HPO first, and made ones where these do not suffice, in
one code system. The descriptions ask for concepts that are in the index of every size: 50 % as a name is written, 20 %
with one or two typos, 15 % with words cut off, without vowels, or shortened as `mappings/shortened_words.csv` has it
(one time in two), 15 % paraphrased: by synonyms of HPO that were left out of the index, of concepts that the encoder
was not trained on. Every size is measured in a process of its own, in batches of 32, on the first answer. The
baseline, in the same process: the nearest vector of the same encoder in the same index, without any other stage.

Then the line protocol is served with the largest release in the place of SNOMED CT, beside the other four code systems
as they are loaded, and asked by 100 connections at one time: each system alone, and all together, as
`fhir-coder benchmark lookup` does.

Nothing is written outside the folder --out (default: a new one in the folder for temporary files, which is named),
where the picture linking.png is left.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from synthetic.making import SEED, statement

from fhir_coder.linking import dense, lexical, spelling
from fhir_coder.linking.encoder import Encoder, Vectors
from fhir_coder.linking.linker import Query
from fhir_coder.linking.wording import _shortened
from fhir_coder.lookup.benchmark import Plan, started
from fhir_coder.lookup.benchmark import measure as measure_load
from fhir_coder.lookup.report import accuracy_table, speed_table, ways_table
from fhir_coder.model import CODE_SYSTEMS, HPO, SNOMED
from fhir_coder.prepare import code_digest, encoder_folder, manifest_of, open_linker, prepare, vectors_folder
from fhir_coder.settings import Settings
from fhir_coder.terminology.catalogue import Catalogue, write_manifest
from fhir_coder.terminology.importer import Stored, store
from fhir_coder.terminology.normalise import bag, normalise
from fhir_coder.terminology.release import Concept, Fact, Import, Name, Release
from fhir_coder.terminology.store import ConceptStore
from fhir_coder.terminology.stored_release import StoredRelease
from fhir_coder.training.synonyms import is_held_out

SIZES = (10_000, 100_000, 560_000)
MIX = {"exact": 500, "misspelt": 200, "abbreviated": 150, "paraphrased": 150}
BATCH = 32
LOAD, CONCURRENT, WORKERS = 2000, 100, 2  # requests to each code system, connections, processes that answer
_LONGEST = 60  # characters of a description
_KEYS = {
    near: keys.replace(near, "")
    for keys in "qwas wedsa erfds rtgfd tyhgf yujhg uikjh iolkj opl zxsa cvxd bnvg mnj".split()
    for near in keys
}


@dataclass(frozen=True, slots=True)
class Question:
    """A description, how it was made, and the codes that are right."""

    text: str
    kind: str
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """A concept: its code, its names in the index, and those that were left out to be asked for."""

    code: str
    names: tuple[str, ...]
    left_out: tuple[str, ...] = ()


def concepts(settings: Settings) -> Iterator[Known]:
    """Yield the concepts of the releases: those of HPO that the encoder was not trained on, all others, made ones."""
    releases = {release.head.system: release for release in map(StoredRelease, prepare(settings))}
    later: list[Known] = []
    for system in (HPO, *CODE_SYSTEMS.values()):
        for code, texts in _names(releases[system]).items():
            if system == HPO and is_held_out(f"{HPO} {code}"):
                yield Known(code, texts[:-1], texts[-1:]) if len(texts) > 2 else Known(code, texts)
            else:
                later.append(Known(f"{system} {code}", texts))
    yield from later
    yield from (Known(f"made {number}", tuple(dict.fromkeys(statement(number)[:2]))) for number in count())


def _names(release: StoredRelease) -> dict[str, tuple[str, ...]]:
    """Return the names of each code that are not the same but for inflection and word order."""
    names: dict[str, dict[str, str]] = defaultdict(dict)
    for name in release.all_names():
        if name.kind != "index":
            names[name.code].setdefault(bag(normalise(name.text)), name.text)
    release.close()
    return {code: tuple(texts.values()) for code, texts in names.items()}


def taken(known: Iterator[Known], names: int) -> list[Known]:
    """Return as many concepts as have so many names."""
    found, total = [], 0
    for each in known:
        if total >= names:
            break
        found.append(each)
        total += len(each.names)
    return found


def questions(known: Sequence[Known]) -> list[Question]:
    """Return the descriptions, in no order."""
    chance = random.Random(SEED)  # noqa: S311 -- to be the same each time
    owners: dict[str, list[str]] = defaultdict(list)
    for each in known:
        for name in each.names:
            owners[normalise(name)].append(each.code)
    named = [name for each in known for name in each.names if 6 <= len(name) <= _LONGEST]
    asked = []
    for kind, change in (("exact", None), ("misspelt", _misspelt), ("abbreviated", _abbreviated)):
        picked = iter(chance.sample(named, len(named)))
        while sum(question.kind == kind for question in asked) < MIX[kind]:
            name = next(picked)
            text = change(name, chance) if change else name
            if text and (change is None or normalise(text) not in owners):
                asked.append(Question(text, kind, tuple(owners[normalise(name)])))
    left_out = [(text, each.code) for each in known for text in each.left_out if normalise(text) not in owners]
    for text, code in chance.sample(left_out, min(MIX["paraphrased"], len(left_out))):
        asked.append(Question(text, "paraphrased", (code,)))
    chance.shuffle(asked)
    return asked


def _misspelt(name: str, chance: random.Random) -> str | None:
    """Return a name with a typo in one or two of its words, or None when no word is long enough."""
    words = name.split()
    long = [place for place, word in enumerate(words) if len(word) > 4 and word.isalpha()]
    for place in chance.sample(long, min(len(long), chance.choice((1, 2)))):
        word = words[place]
        at = chance.randrange(1, len(word) - 1)
        other = chance.choice(_KEYS.get(word[at].lower(), "aeiou"))
        words[place] = chance.choice(
            (
                word[:at] + word[at + 1] + word[at] + word[at + 2 :],
                word[:at] + word[at + 1 :],
                word[:at] + word[at] + word[at:],
                word[:at] + other + word[at:],
                word[:at] + other + word[at + 1 :],
            )
        )
    return " ".join(words) if long else None


def _abbreviated(name: str, chance: random.Random) -> str | None:
    """Return a name with one or two of its words shortened, or None when none is long enough."""
    short = defaultdict(list)
    for shortened, words in _shortened().items():
        for word in words:
            short[word].append(shortened)
    parts = name.split()
    long = [place for place, word in enumerate(parts) if len(word) > 5 and word.isalpha()]
    for place in chance.sample(long, min(len(long), chance.choice((1, 2)))):
        word = parts[place].lower()
        if word in short and chance.random() < 0.5:
            parts[place] = chance.choice(short[word])
        elif chance.random() < 0.7:
            parts[place] = word[: chance.randint(3, 5)]
        else:
            parts[place] = word[0] + "".join(letter for letter in word[1:] if letter not in "aeiou")
    return " ".join(parts) if long else None


class Encoded:
    """In place of an encoder, vectors of names that were encoded before: the sizes share them."""

    def __init__(self, names: Sequence[str], vectors: Vectors) -> None:
        self._rows = {name: row for row, name in enumerate(names)}
        self._vectors = vectors
        self.width = vectors.shape[1]

    def encode_names(self, texts: Sequence[str], advance: Callable[[int], None]) -> Vectors:
        """Return the vectors of names."""
        advance(len(texts))
        return self._vectors[[self._rows[text] for text in texts]]


def stored(known: Sequence[Known], folder: Path) -> Path:
    """Store concepts as a release of SNOMED CT with all its indexes but the vectors; return its folder."""
    facts: list[Fact] = []
    for each in known:
        facts.append(Concept(each.code, each.names[0], "disease"))
        facts += [
            Name(each.code, text, "synonym" if place else "preferred", False) for place, text in enumerate(each.names)
        ]
    folder.mkdir(parents=True)
    release = Release(system=SNOMED, version="measured", title=f"{len(known)} concepts")
    (done,) = store(Import(releases=(release,), facts=((0, fact) for fact in facts)), folder, lambda *_: None)
    opened = StoredRelease(done.folder)
    lexical.build(opened, done.folder, lambda _: None)
    spelling.build(opened, done.folder, lambda _: None)
    opened.close()
    return done.folder


def measure(folder: Path, asked: Sequence[Question], settings: Settings, begun: float) -> dict[str, Any]:
    """Return what it costs to start on a release, and to answer the questions by the cascade and by vectors alone."""
    concepts = ConceptStore([StoredRelease(folder)])
    linker = open_linker(concepts, settings, settings.max_candidates)
    ready = time.time() - begun
    # The indexes and the encoder are loaded when needed.
    linker.link([Query(text, (SNOMED,)) for text in ("qwertz asdf", "pain that comes and goes")])
    all_loaded = time.time() - begun
    start = _memory()
    similar, stages = linker._similar, Stages()
    near = similar._dense
    if near is None:
        raise SystemExit("the vectors are what is compared with: name an encoder")
    stages.time(linker._named, "find", "named")
    stages.time(linker._repaired, "find", "repaired")
    stages.time(near, "encode", "encoder")
    stages.time(near, "search", "vectors")
    stages.time(similar._lexical, "search", "lexical")
    pairs = [(question.text, SNOMED) for question in asked]
    alone, cascade = Run(), Run()
    with cascade:
        queries = ([Query(text, (system,)) for text, system in some] for some in _batches(pairs))
        found = [each for some in queries for each in linker.link(some)]
    for question, candidates in zip(asked, found, strict=True):
        cascade.count(question, candidates[0].code if candidates else "", candidates[0].stage if candidates else "none")
    in_cascade = {name: asdict(cost) for name, cost in stages.costs.items()}
    with alone:
        hits = []
        for some in _batches(pairs):
            vectors = near.encode([text.lower() for text, _ in some])
            hits += near.search(vectors, SNOMED, 1)
    for question, nearest in zip(asked, hits, strict=True):
        name = nearest[0].release.name(nearest[0].row) if nearest else None
        alone.count(question, name.code if name else "", "dense")
    return {
        "ready": ready,
        "loaded": all_loaded,
        "start": start,
        "end": _memory(),
        "stages": in_cascade,
        "cascade": cascade.report(asked),
        "dense only": alone.report(asked),
    }


@dataclass
class Cost:
    """What a stage took, and how often it was asked."""

    seconds: float = 0.0
    calls: int = 0
    texts: int = 0


class Stages:
    """Times the stages: a stage's time holds that of the stages it asks."""

    def __init__(self) -> None:
        self.costs: dict[str, Cost] = defaultdict(Cost)

    def time(self, owner: object, method: str, name: str) -> None:
        """Time a method from now on."""
        plain = getattr(owner, method)

        def timed(*values: Any, **named: Any) -> Any:
            begun = time.perf_counter()
            answer = plain(*values, **named)
            cost = self.costs[name]
            cost.seconds += time.perf_counter() - begun
            cost.calls += 1
            cost.texts += 1 if isinstance(values[0], str) else len(values[0])
            return answer

        setattr(owner, method, timed)


class Run:
    """The time and the answers of one way to find codes."""

    def __init__(self) -> None:
        self.right: Counter[str] = Counter()
        self.stages: Counter[str] = Counter()
        self.wrong: list[tuple[str, str]] = []

    def __enter__(self) -> Run:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall, self.cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu

    def count(self, question: Question, code: str, stage: str) -> None:
        """Count an answer."""
        self.right[question.kind] += code in question.codes
        self.stages[stage] += 1

    def report(self, asked: Sequence[Question]) -> dict[str, Any]:
        """Return the figures."""
        of_kind = Counter(question.kind for question in asked)
        return {
            "ms": self.wall / len(asked) * 1000,
            "cpu ms": self.cpu / len(asked) * 1000,
            "rank 1": {kind: self.right[kind] / of_kind[kind] for kind in MIX},
            "all": sum(self.right.values()) / len(asked),
            "stages": {stage: number / len(asked) for stage, number in self.stages.most_common()},
        }


def _batches(pairs: Sequence[tuple[str, str]]) -> Iterator[Sequence[tuple[str, str]]]:
    waiting = iter(pairs)
    while some := list(islice(waiting, BATCH)):
        yield some


def _memory() -> dict[str, float]:
    """Return the megabytes of the process: the most that were resident, and those that are no pages of files."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return {line.split(":")[0]: int(line.split()[1]) / 1e3 for line in lines if line.startswith(("VmHWM", "RssAnon"))}


def recall(folder: Path, subfolder: str, encoder: Encoder, asked: Sequence[Question]) -> list[tuple[Any, ...]]:
    """Return, for kinds of FAISS indexes, recall@1 against comparing with all, microseconds a query, and megabytes."""
    import faiss

    vectors = np.load(folder / subfolder / "vectors.npy", mmap_mode="r")
    texts = [question.text.lower() for question in asked if question.kind != "exact"]
    queries = encoder.encode(texts)
    faiss.omp_set_num_threads(1)
    flat = faiss.IndexFlatIP(vectors.shape[1])
    for start in range(0, len(vectors), 50_000):
        flat.add(vectors[start : start + 50_000].astype(np.float32))
    begun = time.perf_counter()
    best, _ = flat.search(queries, 1)
    rows = [("Flat (fp32)", 1.0, (time.perf_counter() - begun) / len(queries) * 1e6, vectors.nbytes * 2 / 1e6)]
    kinds = ["HNSW32,SQ8", dense.index_type(len(vectors), vectors.shape[1])]
    for kind in kinds if len(vectors) <= 200_000 else kinds[1:]:
        index = faiss.index_factory(vectors.shape[1], kind, faiss.METRIC_INNER_PRODUCT)
        index.train(vectors[:: max(1, len(vectors) // 60_000)].astype(np.float32))
        for start in range(0, len(vectors), 50_000):
            index.add(vectors[start : start + 50_000].astype(np.float32))
        if "HNSW" in kind:
            index.hnsw.efSearch = 64
        else:
            index.nprobe = dense._PROBED
        begun = time.perf_counter()
        _, places = index.search(queries, 96)
        exact = [
            float(np.max(vectors[of_query[of_query >= 0]].astype(np.float32) @ query))
            for of_query, query in zip(places, queries, strict=True)
        ]
        spent = (time.perf_counter() - begun) / len(queries) * 1e6
        # Names with the same vector are as good; half precision moves a cosine by less than this.
        found = np.mean(np.array(exact) >= best[:, 0] - 1e-3)
        rows.append((f"{kind}, the best 96 exactly", float(found), spent, len(faiss.serialize_index(index)) / 1e6))
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--encoder", default=None, help="setting `encoder`")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--json", type=Path, default=None, help="also write the figures there")
    parser.add_argument("--measure", type=Path, default=None, help=argparse.SUPPRESS)
    given = parser.parse_args()
    settings = Settings.load(encoder=given.encoder)
    if given.measure:
        job = json.load(sys.stdin)
        asked = [Question(text, kind, tuple(codes)) for text, kind, codes in job["asked"]]
        print(json.dumps(measure(given.measure, asked, settings, job["begun"])))
        return
    out = given.out or Path(tempfile.mkdtemp(prefix="fhir-coder-linking-"))
    console = Console(width=150)
    figures = run(out, sorted(given.sizes), settings)
    show(figures, console)
    picture(figures, out / "linking.png", console)
    figures["load"] = load(out, max(given.sizes), settings, console)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def run(out: Path, sizes: Sequence[int], settings: Settings) -> dict[str, Any]:
    """Return the figures of all sizes."""
    model = encoder_folder(settings)
    if model is None:
        raise SystemExit("the vectors are what is compared with: name an encoder")
    largest = taken(concepts(Settings.load(encoder="none", data_dir=settings.data_dir)), sizes[-1])
    asked = questions(taken(iter(largest), sizes[0]))
    encoder = Encoder(model, settings.encoder_pooling, settings.encoder_instruction)
    # As in `dense.encoded_names`: of a concept's names that have the same words, one gets a vector.
    different = ({bag(normalise(name)): name for name in each.names[::-1]}.values() for each in largest)
    names = list(dict.fromkeys(name for of_concept in different for name in of_concept))
    vectors = _encoded(names, encoder, out / f"{vectors_folder(settings)}.npy")
    figures: dict[str, Any] = {"encoder": settings.encoder, "questions": len(asked), "sizes": {}, "indexes": {}}
    for size in sizes:
        place = out / f"{vectors_folder(settings)}-{size}"
        folder = next(iter(place.iterdir())) if place.exists() else stored(taken(iter(largest), size), place)
        release = StoredRelease(folder)
        if not dense.has_vectors(folder / vectors_folder(settings)):
            given: Any = Encoded(names, vectors)
            dense.build(dense.encoded_names(release), folder / vectors_folder(settings), given, lambda _: None)
        release.close()
        job = {"asked": [(each.text, each.kind, each.codes) for each in asked], "begun": time.time()}
        command = [sys.executable, __file__, "--measure", str(folder), "--encoder", settings.encoder]
        done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        figures["sizes"][str(size)] = json.loads(done.stdout.splitlines()[-1])
        if size > 10_000:
            figures["indexes"][str(size)] = recall(folder, vectors_folder(settings), encoder, asked)
    return figures


def load(out: Path, size: int, settings: Settings, console: Console) -> dict[str, Any]:
    """Print and return what the line protocol does with the release of a size in the place of SNOMED CT."""
    prepare(settings)  # the other code systems, where they are stored anyway
    root = out / f"data-{size}" / "terminology"
    if not root.exists():
        folder = next((out / f"{vectors_folder(settings)}-{size}").iterdir()).resolve()
        release = StoredRelease(folder)
        stored_release = Stored(folder=folder, release=release.head, counts={"names": release.last_row()})
        release.close()
        manifest = manifest_of(stored_release, "measured", "csv", {}, {}, code_digest())
        write_manifest(folder, manifest)
        (root / "imported").mkdir(parents=True)
        (root / "imported" / manifest.id).symlink_to(folder)
        (root / "embedded").symlink_to(settings.data_dir / "terminology" / "embedded")
        Catalogue(root).add([manifest], activate=True)
    measured = settings.model_copy(update={"data_dir": root.parent})
    environment = {"FHIR_CODER_DATA_DIR": str(root.parent), "FHIR_CODER_LINE_WORKERS": str(WORKERS)}
    environment["FHIR_CODER_ENCODER"] = settings.encoder
    plan = Plan(systems=tuple(CODE_SYSTEMS), requests=LOAD, concurrent=CONCURRENT, seed=SEED, ranked=True)
    with started(None, environment) as server:
        figures = measure_load(measured, plan, server)
    for table in (speed_table(figures.speeds), accuracy_table(figures.accuracies), ways_table(figures.ways)):
        console.print(table)
    if figures.cost:
        console.print(f"server: ready after {figures.cost.start_seconds:.1f} s, {figures.cost.megabytes:,.0f} MB")
    return asdict(figures)


def _encoded(names: Sequence[str], encoder: Encoder, path: Path) -> Vectors:
    if path.exists() and len(vectors := np.load(path)) == len(names):
        return vectors.astype(np.float32)
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("Vectors", total=len(names))
        vectors = encoder.encode_names(names, lambda done: progress.advance(task, done))
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, vectors.astype(np.float16))
    return vectors


def show(figures: dict[str, Any], console: Console) -> None:
    """Print the figures."""
    table = Table(title=f"Rank 1 and cost of {figures['questions']} descriptions, encoder {figures['encoder']}")
    for column in ("names", "way", "ms", "CPU ms", "all", *MIX, "start s", "MB", "MB not of files"):
        table.add_column(column, justify="right")
    for size, of_size in figures["sizes"].items():
        for way in ("cascade", "dense only"):
            found = of_size[way]
            rest = (of_size["loaded"], of_size["end"]["VmHWM"], of_size["end"]["RssAnon"]) if way == "cascade" else ()
            ranks = (found["all"], *(found["rank 1"][kind] for kind in MIX))
            cells = [f"{found['ms']:.2f}", f"{found['cpu ms']:.2f}", *(f"{rank:.3f}" for rank in ranks)]
            table.add_row(f"{int(size):,}", way, *cells, *(f"{value:,.1f}" for value in rest))
    console.print(table)
    table = Table(title="Stages of the cascade: ms for a description that reaches it, and how many do")
    for column in ("names", "stage", "ms", "reach it", "answered"):
        table.add_column(column, justify="right")
    for size, of_size in figures["sizes"].items():
        answered = of_size["cascade"]["stages"]
        by_stage = {
            "named": sum(answered.get(stage, 0) for stage in ("exact", "normalised", "mapped")),
            "repaired": answered.get("repaired", 0),
            "vectors": answered.get("dense", 0),
            "lexical": answered.get("lexical", 0),
        }
        for stage, cost in of_size["stages"].items():
            reach = cost["texts"] / figures["questions"]
            share = f"{by_stage[stage]:.1%}" if stage in by_stage else ""
            table.add_row(
                f"{int(size):,}", stage, f"{cost['seconds'] * 1000 / cost['texts']:.3f}", f"{reach:.1%}", share
            )
    console.print(table)
    table = Table(title="Indexes of vectors: recall@1 of the descriptions that are not exact, one thread")
    for column in ("names", "index", "recall@1", "microseconds", "MB"):
        table.add_column(column, justify="right")
    for size, rows in figures["indexes"].items():
        for kind, found, spent, megabytes in rows:
            table.add_row(f"{int(size):,}", kind, f"{found:.3f}", f"{spent:,.0f}", f"{megabytes:,.0f}")
    console.print(table)


def picture(figures: dict[str, Any], path: Path, console: Console) -> None:
    """Draw how cost and rank 1 change with the number of names."""
    try:
        import matplotlib as mpl
    except ImportError:
        console.print("no picture: matplotlib is not installed (pip install fhir-coder[dev])")
        return
    mpl.use("Agg")
    from matplotlib import pyplot

    sizes = [int(size) for size in figures["sizes"]]
    drawn, (cost, rank) = pyplot.subplots(1, 2, figsize=(11, 4))
    for way, mark in (("cascade", "o-"), ("dense only", "s--")):
        of_way = [of_size[way] for of_size in figures["sizes"].values()]
        cost.plot(sizes, [each["ms"] for each in of_way], mark, label=way)
        rank.plot(sizes, [each["all"] for each in of_way], mark, label=way)
    for axes, title in ((cost, "ms a description, batches of 32"), (rank, "right on rank 1, share")):
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.set_xlabel("names in the index")
        axes.set_title(title)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend()
    drawn.tight_layout()
    drawn.savefig(path, dpi=120)
    console.print(f"picture: {path}")


if __name__ == "__main__":
    main()
