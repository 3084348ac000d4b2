"""Measure what scores are worth: of the descriptions whose best candidate scores 0.9, nine in ten should be right.

Run: .venv/bin/python benchmarks/calibration.py [--references DIR] [--out DIR] [--write]

The descriptions: names of the loaded releases as they are, misspelt, abbreviated and paraphrased (`lookup/queries.py`);
and, where DIR has them, the disease names of Mondo, short names of LOINC, and the mentions of NCBI Disease and BC5CDR
(training and development parts): of diseases with the codes of Mondo's exact matches, of chemicals with the code of
another mention of the same identifier that is a drug's name. A mention whose concept is not loaded has no right answer,
nor have some short names of LOINC. Each of these three kinds counts as much as the others. The curves are fitted on one
half of the descriptions (by a hash of the text), and everything that is printed is measured on the other half, beside
the scores as the stages give them.

--write writes mappings/calibration.csv, with curves fitted on both halves, and mappings/coding/thresholds.csv: a
threshold is the least score, not below 0.75 (of drugs, 0.85), from which on at most one code in twenty of the other
half is wrong. --out: where the diagram goes.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.isotonic import IsotonicRegression

from fhir_coder.coding.thresholds import thresholds
from fhir_coder.linking.linker import Query
from fhir_coder.lookup.queries import make_queries
from fhir_coder.model import CODE_SYSTEMS, ICD10CM, LOINC, RXNORM, SNOMED, Candidate
from fhir_coder.pipeline import Coder
from fhir_coder.tables import folder
from fhir_coder.terminology.normalise import normalise

COUNT = 1_600  # made descriptions of each code system
STAGES = ("exact", "normalised", "mapped", "repaired", "dense", "lexical")
_BY_NAME = ("exact", "normalised", "mapped")  # say nothing wrong of a mention whose annotated concept is not loaded
_GRID = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
_PRIOR = 3.0  # descriptions, at each of ten scores, for which the score itself is taken as the probability
_OTHERS = 0.05  # what a description of another code system counts
_LEAST, _LEAST_OF_DRUGS, _WRONG = 0.75, 0.85, 0.05  # drugs may look alike
_NOT_LOADED = 57  # one in so many short names of LOINC codes that are not loaded is asked for
_BATCH = 64
_SHORT = {uri: name for name, uri in CODE_SYSTEMS.items()}


@dataclass(frozen=True, slots=True)
class Description:
    """What is asked for, and the codes that are right; none when the concept is not loaded."""

    kind: str  # made, name, mention
    system: str
    text: str
    codes: tuple[str, ...]

    @property
    def is_for_fit(self) -> bool:
        """Whether it is of the half on which the curves are fitted."""
        return _place(self.text) % 2 == 0


def _place(text: str) -> int:
    """Return a number that is as good as drawn by lot, and always the same for a text."""
    return int.from_bytes(sha256(text.lower().encode()).digest()[:4])


@dataclass(frozen=True, slots=True)
class Answer:
    """A description, its best candidate, and whether that is right."""

    asked: Description
    best: Candidate
    is_right: bool
    weight: float = 1.0


def descriptions(coder: Coder, references: Path) -> list[Description]:
    """Return all descriptions."""
    found = [
        Description("made", uri, query.text, (query.code,))
        for system, uri in CODE_SYSTEMS.items()
        for query in make_queries(coder.store, system, COUNT, "calibration")
    ]
    return list(dict.fromkeys([*found, *_names(coder, references), *_mentions(coder, references)]))


def _names(coder: Coder, references: Path) -> Iterator[Description]:
    for term, label in _labels(references).items():
        for system, codes in _codes_of(references, term).items():
            if known := _known(coder, system, codes):
                yield Description("name", system, label, known)
    short = references / "terminology" / "loinc" / "short_loinc.txt"
    for row in _rows(short):
        known = _known(coder, LOINC, [row["LOINC_NUM"]])
        if row["SHORTNAME"] and (known or _place(row["SHORTNAME"]) % _NOT_LOADED == 0):
            yield Description("name", LOINC, row["SHORTNAME"], known)


def _mentions(coder: Coder, references: Path) -> Iterator[Description]:
    terms = defaultdict(list)
    for row in _sssom(references, "mesh"):
        terms[row["object_id"].partition(":")[2]].append(row["subject_id"])
    chemicals = defaultdict(set)
    for path in sorted((references / "corpora").glob("*/*.pubtator")):
        if path.parent.name not in ("ncbi_disease", "bc5cdr") or path.stem == "test":
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            cells = line.split("\t")
            if len(cells) != 6 or cells[5] == "-1" or re.search(r"[|+,;]", cells[5]):
                continue
            if cells[4] == "Chemical":
                chemicals[cells[5]].add(cells[3])
                continue
            for term in terms[cells[5].removeprefix("MESH:")]:
                for system, codes in _codes_of(references, term).items():
                    yield Description("mention", system, cells[3], _known(coder, system, codes))
    for texts in chemicals.values():
        names = [name for text in texts for name in coder.store.names(normalise(text))]
        codes = {name.concept.code for name in names if name.concept.system == RXNORM and name.concept.codable}
        if len(codes) < 2:  # without any, the chemical is no drug that is loaded
            yield from (Description("mention", RXNORM, text, tuple(codes)) for text in sorted(texts))


_kept: dict[str, dict[str, set[str]]] = {}


def _codes_of(references: Path, term: str) -> dict[str, set[str]]:
    for system, name in ((SNOMED, "sctid"), (ICD10CM, "icd10cm")):
        if system not in _kept:
            _kept[system] = defaultdict(set)
            for row in _sssom(references, name):
                _kept[system][row["subject_id"]].add(row["object_id"].partition(":")[2])
    return {system: of_term[term] for system, of_term in _kept.items() if term in of_term}


def _labels(references: Path) -> dict[str, str]:
    rows = [*_sssom(references, "sctid"), *_sssom(references, "icd10cm")]
    return {row["subject_id"]: row["subject_label"] for row in rows if row.get("subject_label")}


def _known(coder: Coder, system: str, codes: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(code for code in codes if coder.store.concept(system, code)))


def _sssom(references: Path, name: str) -> Iterator[dict[str, str]]:
    yield from _rows(references / "terminology" / "mondo" / f"mondo_exactmatch_{name}.sssom.tsv")


def _rows(path: Path) -> Iterator[dict[str, str]]:
    if path.is_file():
        with path.open(encoding="utf-8", errors="replace", newline="") as lines:
            yield from csv.DictReader((line for line in lines if not line.startswith("#")), delimiter="\t")


def answers(coder: Coder, asked: Sequence[Description]) -> list[Answer]:
    """Return the best candidate of each description, with the score that its stage gives."""
    found: list[Answer] = []
    for start in track(range(0, len(asked), _BATCH), "looking up"):
        batch = asked[start : start + _BATCH]
        settled = [coder.linker._settled(Query(each.text, (each.system,)))[each.system] for each in batch]
        asked_for = [(each.text, each.system, found) for each, found in zip(batch, settled, strict=True)]
        ranked = coder.linker._ranked(asked_for, coder.settings.max_candidates)
        for description, candidates in zip(batch, ranked, strict=True):
            best = candidates[0] if candidates else None
            if best and not best.barred and (description.codes or best.stage not in _BY_NAME):
                found.append(Answer(description, best, _is_right(description, best.code)))
    return _weighted(found)


def _is_right(asked: Description, code: str) -> bool:
    """Whether a code is one of the right ones; of ICD-10-CM, also when it only says more than one of them."""
    return code in asked.codes or (asked.system == ICD10CM and any(code.startswith(each) for each in asked.codes))


def _weighted(found: Sequence[Answer]) -> list[Answer]:
    """Return the answers with weights by which each kind of description counts the same in a code system."""
    sizes: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for each in found:
        sizes[each.asked.system][each.asked.kind] += 1
    return [
        replace(
            each,
            weight=sum(sizes[each.asked.system].values())
            / len(sizes[each.asked.system])
            / sizes[each.asked.system][each.asked.kind],
        )
        for each in found
    ]


Curves = Mapping[tuple[str, str], Sequence[tuple[float, float]]]


def fitted(found: Sequence[Answer]) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """Return the corners of the curve of each code system and stage."""
    return {(system, stage): _curve(found, system, stage) for system in CODE_SYSTEMS.values() for stage in STAGES}


def _curve(found: Sequence[Answer], system: str, stage: str) -> list[tuple[float, float]]:
    of_stage = [each for each in found if each.best.stage == stage]
    grid = np.arange(0.05, 1.05, 0.1)
    scores = [*(each.best.score for each in of_stage), *grid]
    right = [*(float(each.is_right) for each in of_stage), *grid]
    weights = [each.weight * (1 if each.asked.system == system else _OTHERS) for each in of_stage]
    curve = IsotonicRegression(y_min=0.0, y_max=0.995, out_of_bounds="clip")
    curve.fit(scores, right, sample_weight=[*weights, *[_PRIOR] * len(grid)])
    corners = [[score, float(value)] for score, value in zip(_GRID, curve.predict(_GRID), strict=True)]
    corners[0][1] = 0.0
    for before, corner in pairwise(corners):
        corner[1] = round(max(corner[1], before[1] + 0.002), 3)  # a curve that rises does not make candidates equal
    # From above, where rising has led beyond what can be.
    corners[-1][1] = min(corners[-1][1], 0.995)
    for corner, after in zip(corners[-2::-1], corners[:0:-1], strict=True):
        corner[1] = round(min(corner[1], after[1] - 0.001), 3)
    corners[0][1] = 0.0
    return [(score, value) for score, value in corners]


def probability(curves: Curves, answer: Answer) -> float:
    """Return the probability that an answer is right."""
    scores, values = zip(*curves[answer.asked.system, answer.best.stage], strict=True)
    return float(np.interp(answer.best.score, scores, values))


def chosen_thresholds(curves: Curves, found: Sequence[Answer]) -> dict[str, tuple[float, float, float, int]]:
    """Return of each code system the threshold, the share that is wrong from it on, the share below, and the number."""
    result = {}
    for system in CODE_SYSTEMS.values():
        scored = [(probability(curves, each), each) for each in found if each.asked.system == system]
        least = _LEAST_OF_DRUGS if system == RXNORM else _LEAST
        for threshold in np.arange(least, 0.99, 0.01):
            wrong, abstained = _rates(scored, float(threshold))
            if wrong <= _WRONG:
                break
        result[system] = (round(float(threshold), 2), wrong, abstained, len(scored))
    return result


def _rates(scored: Sequence[tuple[float, Answer]], threshold: float) -> tuple[float, float]:
    total = sum(each.weight for _, each in scored)
    above = [each for score, each in scored if score >= threshold]
    weight = sum(each.weight for each in above)
    wrong = sum(each.weight for each in above if not each.is_right)
    return (wrong / weight if weight else 0.0), 1 - weight / total


def error_of(scored: Sequence[tuple[float, Answer]]) -> float:
    """Return the expected calibration error (0..1) in ten bins (Guo 2017)."""
    total = sum(each.weight for _, each in scored)
    return sum(abs(right - said) * weight for said, right, weight, _ in _bins(scored)) / total


def _bins(scored: Sequence[tuple[float, Answer]]) -> list[tuple[float, float, float, int]]:
    bins: dict[int, list[tuple[float, Answer]]] = defaultdict(list)
    for score, each in scored:
        bins[min(int(score * 10), 9)].append((score, each))
    found = []
    for _, inside in sorted(bins.items()):
        weight = sum(each.weight for _, each in inside)
        said = sum(score * each.weight for score, each in inside) / weight
        right = sum(each.weight for _, each in inside if each.is_right) / weight
        found.append((said, right, weight, len(inside)))
    return found


def tables(curves: Curves, found: Sequence[Answer]) -> Iterator[Table]:
    """Yield what is measured on the half that the curves have not seen."""
    table = Table(title="scores as probabilities: expected calibration error, and what the threshold does")
    for column in (
        "code system",
        "descriptions",
        "error as scored",
        "error calibrated",
        "threshold",
        "wrong",
        "abstained",
    ):
        table.add_column(column, justify="right")
    limits = thresholds()
    for system, uri in CODE_SYSTEMS.items():
        plain = [(each.best.score, each) for each in found if each.asked.system == uri]
        scored = [(probability(curves, each), each) for each in found if each.asked.system == uri]
        wrong, abstained = _rates(scored, limits[uri])
        figures = (
            f"{error_of(plain):.3f}",
            f"{error_of(scored):.3f}",
            f"{limits[uri]:.2f}",
            f"{wrong:.3f}",
            f"{abstained:.3f}",
        )
        table.add_row(system, f"{len(scored):,}", *figures)
    yield table
    table = Table(title="reliability: of the best candidates with such a score, so many are right")
    for column in ("score", "descriptions", "said", "right"):
        table.add_column(column, justify="right")
    for said, right, _, number in _bins([(probability(curves, each), each) for each in found]):
        table.add_row(
            f"{int(said * 10) / 10:.1f}-{int(said * 10) / 10 + 0.1:.1f}", f"{number:,}", f"{said:.3f}", f"{right:.3f}"
        )
    yield table


def draw(curves: Curves, found: Sequence[Answer], path: Path) -> None:
    """Leave the reliability diagram: calibrated, and as the stages score."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 5), sharey=True)
    ways = (
        ("as the stages score", lambda each: each.best.score),
        ("calibrated", lambda each: probability(curves, each)),
    )
    for axis, (title, score_of) in zip(axes, ways, strict=True):
        axis.plot([0, 1], [0, 1], color="grey", linestyle=":")
        for system, uri in CODE_SYSTEMS.items():
            bins = _bins([(score_of(each), each) for each in found if each.asked.system == uri])
            axis.plot([said for said, *_ in bins], [right for _, right, *_ in bins], marker="o", label=system)
        axis.set(title=title, xlabel="score", ylabel="right")
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def write(curves: Curves, limits: Mapping[str, tuple[float, float, float, int]], found: Sequence[Answer]) -> None:
    """Write both tables."""
    mappings = Path(str(folder("mappings")))
    with (mappings / "calibration.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("system", "stage", "score", "probability", "descriptions"))
        for (system, stage), curve in curves.items():
            number = sum(each.asked.system == system and each.best.stage == stage for each in found)
            rows.writerows((_SHORT[system], stage, score, value, number) for score, value in curve)
    with (mappings / "coding" / "thresholds.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("system", "threshold", "wrong", "abstained", "descriptions"))
        for system, (threshold, wrong, abstained, number) in limits.items():
            rows.writerow((_SHORT[system], f"{threshold:.2f}", f"{wrong:.3f}", f"{abstained:.3f}", number))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--references", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    if not given.references.is_dir():
        print(f"{given.references} is not there: made descriptions only")
    coder = Coder.from_settings()
    found = answers(coder, descriptions(coder, given.references))
    for_fit = [each for each in found if each.asked.is_for_fit]
    held_out = [each for each in found if not each.asked.is_for_fit]
    if given.write:
        write(fitted(found), chosen_thresholds(fitted(for_fit), held_out), found)
    curves = fitted(for_fit)
    for table in tables(curves, held_out):
        Console(width=120).print(table)
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        draw(curves, held_out, given.out / "reliability.png")
        print(f"the reliability diagram is {given.out / 'reliability.png'}")


if __name__ == "__main__":
    main()
