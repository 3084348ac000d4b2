"""The layers: which part of the package may import which. Only what composes sees everything."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "fhir_coder"
BASE = {"credentials", "errors", "hugging_face", "logs", "model", "onnx_session", "settings", "tables", "tracing"}
# Part -> the parts that it may import besides itself; None: any.
ALLOWED: dict[str, set[str] | None] = {
    "credentials": {"errors", "settings"},
    "errors": set(),
    "hugging_face": set(),
    "model": set(),
    "onnx_session": set(),
    "tables": {"errors"},
    "settings": {"errors"},
    "terminology": BASE,
    "attachments": BASE,
    "ingest": BASE | {"attachments"},
    "nlp": BASE | {"terminology"},
    "linking": BASE | {"terminology"},
    "coding": BASE | {"terminology"},
    "fhir": BASE,
    "delivery": BASE | {"fhir"},  # what is taken back, and the Provenance of that, is told in FHIR
    "journal": BASE,
    "logs": {"settings"},
    "report": BASE,
    "prepare": BASE | {"linking", "terminology"},
    "imports": BASE | {"prepare", "terminology"},
    "report_queue": {"delivery"},
    "report_explain": BASE | {"report"},
    "report_terminology": BASE | {"prepare", "terminology"},
    "terminal": set(),
    "tracing": {"errors", "logs"},
    "corpora": BASE,
    "evaluation": BASE | {"corpora"},
    "training": BASE | {"corpora", "linking", "nlp", "terminology"},
    "lookup": BASE | {"coding", "linking", "pipeline", "prepare", "terminology"},
    "pipeline": BASE | {"coding", "linking", "nlp", "prepare", "terminology"},
    "doctor": None,
    "spark": BASE | {"delivery", "fhir", "ingest", "pipeline"},
    "upstream": BASE | {"delivery", "ingest"},
    "service": None,
    "demo": None,
    "cli": None,
    "cli_bulk": None,
    "cli_code": None,
    "cli_doctor": None,
    "cli_evaluate": None,
    "cli_keys": None,
    "cli_lookup": None,
    "cli_queue": None,
    "cli_spark": None,
    "cli_subscribe": None,
    "cli_terminology": None,
    "cli_train": None,
    "__init__": None,
    "__main__": None,
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def _part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [node.module or ""]
            if node.module == "fhir_coder":
                names = [f"fhir_coder.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("fhir_coder.")}
    return found


def test_every_part_has_its_layer() -> None:
    assert {_part(path) for path in MODULES} == set(ALLOWED)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports(path: Path) -> None:
    part = _part(path)
    allowed = ALLOWED[part]
    if allowed is not None:
        assert _imports(path) - {part} <= allowed
