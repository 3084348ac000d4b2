"""The command: exit statuses, what goes where, and what never does."""

from __future__ import annotations

import copy
import logging
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from fhir_coder.pipeline import Coder
from fhir_coder.settings import Settings
from tests.unit.command import run_command

Run = Callable[..., tuple[int, str, str]]
PUBTATOR = """1|t|Lisinopril for hypertension
1|a|The patient denies fever. Zebrapox was seen.
1\t0\t10\tLisinopril\tChemical\tD017706
1\t15\t27\thypertension\tDisease\tD006973
1\t47\t52\tfever\tDisease\tD005334
1\t54\t62\tZebrapox\tDisease\t-1

2|t|Asthma
2|a|
2\t0\t6\tAsthma\tDisease\tD001249
"""


@pytest.fixture
def run(coder: Coder, monkeypatch: pytest.MonkeyPatch, capfdbinary: Any) -> Run:
    """Run the command in this process, with the coder that is loaded: run(path) -> status, out, err."""

    def loaded(settings: Settings) -> Coder:
        again = copy.copy(coder)
        again.settings = settings
        return again

    monkeypatch.setattr(Coder, "from_settings", loaded)

    def call(*arguments: object) -> tuple[int, str, str]:
        status, out, err = run_command(monkeypatch, capfdbinary, "evaluate", *arguments)
        return status, out.decode(), err.decode()

    return call


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A corpus of two notes."""
    path = tmp_path / "set.pubtator"
    path.write_text(PUBTATOR, encoding="utf-8")
    return path


def test_figures_and_report(run: Run, corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    figures, report = tmp_path / "figures.json", tmp_path / "report.html"
    with caplog.at_level(logging.DEBUG):
        status, out, err = run(corpus, "--json", figures, "--report", report)
    assert (status, err) == (0, "")
    assert "zebrapox" in out
    assert "zebrapox" not in caplog.text.casefold()
    (evaluation,) = orjson.loads(figures.read_bytes())["evaluations"]
    assert evaluation["counted"] == {"medication": "medication", "disease": "problem", "symptom": "problem"}
    problem = next(score for score in evaluation["strict"] if score["name"] == "problem")
    assert (problem["correct"], problem["annotated"]) == (3, 4)
    assert b"ebrapox" not in figures.read_bytes()
    assert "<mark>Zebrapox</mark>" in report.read_text(encoding="utf-8")
    assert {stat.S_IMODE(path.stat().st_mode) for path in (figures, report)} == {0o600}


def test_limit_and_problems(run: Run, corpus: Path, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    status, _, _ = run(corpus, "--limit", 1, "--problems", "apart", "--json", figures)
    (evaluation,) = orjson.loads(figures.read_bytes())["evaluations"]
    assert (status, evaluation["documents"]) == (0, 1)
    assert "symptom" not in evaluation["counted"]


def test_codes_of_documents(run: Run, tmp_path: Path) -> None:
    (tmp_path / "dev_text_en").mkdir()
    (tmp_path / "dev_text_en" / "S1.txt").write_text("He has asthma. No fever.", encoding="utf-8")
    (tmp_path / "dev_icd10cm.tsv").write_text("S1\tj45.909\nS1\tr51\n", encoding="utf-8")
    figures = tmp_path / "figures.json"
    status, out, _ = run(tmp_path, "--json", figures)
    assert status == 0
    assert "not assignable" in out
    (evaluation,) = orjson.loads(figures.read_bytes())["evaluations"]
    full = evaluation["codes"]["full"]
    assert (full["correct"], full["found"], full["annotated"]) == (1, 1, 1)
    assert evaluation["codes"]["gone"] == [["R51", 1]]
    assert evaluation["strict"] is None


def test_what_is_wrong_fails_unless_lenient(run: Run, corpus: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pubtator"
    broken.write_text(PUBTATOR.replace("1\t0\t10", "1\t1\t10"), encoding="utf-8")
    status, out, err = run(broken)
    assert (status, out) == (1, "")
    assert "broken.pubtator:3" in err
    assert "isinopril" not in err
    status, out, err = run(broken, corpus)  # the other is measured all the same
    assert status == 1
    assert "set.pubtator" in out
    status, out, err = run(broken, "--lenient")
    assert status == 0
    assert "1 annotations are wrong" in err


def test_labels_of_ones_own(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "own.conll"
    path.write_text("He\tO\nhas\tO\nasthma\tB-Diagnose\n", encoding="utf-8")
    assert run(path)[0] == 1
    status, out, _ = run(path, "--label", "Diagnose=disease")
    assert (status, "100.0" in out) == (0, True)


@pytest.mark.parametrize(
    "arguments", [("--label", "Diagnose"), ("--label", "a=b"), ("--report", "absent/r.html"), ("--format", "xml")]
)
def test_misuse(run: Run, corpus: Path, arguments: tuple[str, str]) -> None:
    assert run(corpus, *arguments)[0] == 2


def test_notes_that_are_too_long(run: Run, corpus: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FHIR_CODER_MAX_NOTE_CHARS", "20")
    figures = tmp_path / "figures.json"
    status, _, err = run(corpus, "--json", figures)
    assert status == 1
    assert "1 notes are longer" in err
    assert orjson.loads(figures.read_bytes())["evaluations"][0]["documents"] == 1


def test_help_says_what_the_report_holds(run: Run) -> None:
    status, out, _ = run("--help")
    assert (status, "HOLDS WORDS OF THE NOTES" in " ".join(out.replace("│", " ").split())) == (0, True)
