"""The report of an evaluation: one HTML file without scripts and without anything from elsewhere."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile

from jinja2 import Environment, PackageLoader, StrictUndefined

from fhir_coder.evaluation.evaluate import Evaluation
from fhir_coder.evaluation.figures import Score
from fhir_coder.evaluation.spans import SpanFigures
from fhir_coder.evaluation.summary import interval, percent


def render(evaluations: Sequence[Evaluation], setup: Mapping[str, str]) -> str:
    """Return the report as HTML. It holds words of the notes. `setup` says what was measured: versions, settings."""
    environment = Environment(
        loader=PackageLoader("fhir_coder.evaluation", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "interval": interval, "pairs": _pairs, "thousands": "{:,}".format}
    return environment.get_template("report.html.j2").render(evaluations=evaluations, setup=setup)


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all. Raises `OSError`."""
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:  # made with mode 0600
        try:
            file.write(content)
            file.close()
            os.replace(file.name, path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def _pairs(spans: SpanFigures) -> list[tuple[Score, Score]]:
    return list(zip(spans.strict, spans.relaxed, strict=True))
