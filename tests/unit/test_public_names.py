"""The public names, and what importing the package costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import fhir_coder

HEAVY = ("torch", "spacy", "transformers", "medspacy", "faiss", "sklearn", "pydantic")


@pytest.mark.parametrize("name", fhir_coder.__all__)
def test_public_name(name: str) -> None:
    assert getattr(fhir_coder, name) is not None
    assert name in dir(fhir_coder)


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="nothing_like_it"):
        fhir_coder.nothing_like_it  # noqa: B018


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("fhir_coder", HEAVY),
        ("fhir_coder.cli", HEAVY[:-1]),
        ("fhir_coder.pipeline", ("transformers", "torch", "medspacy", "sklearn")),
    ],
)
def test_import_is_light(module: str, absent: tuple[str, ...]) -> None:
    program = f"import sys, {module}; print(*(name for name in {absent!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
