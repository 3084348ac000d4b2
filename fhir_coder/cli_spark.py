"""`fhir-coder spark`: bulk history on Apache Spark."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from fhir_coder.cli_terminology import SettingsFile
from fhir_coder.errors import SettingsError
from fhir_coder.settings import Settings
from fhir_coder.terminal import complain

if TYPE_CHECKING:
    from fhir_coder.spark.job import Progress


class InputFormat(StrEnum):
    """What the folder holds."""

    NDJSON = "ndjson"
    FILES = "files"


def spark(
    source: Annotated[
        str, typer.Option("--in", metavar="DIR", help="Folder of the notes; or a URI that Spark knows (s3a://...).")
    ],
    checkpoint: Annotated[
        str, typer.Option(metavar="DIR", help="Folder in which the run keeps what it has done; it goes on from there.")
    ],
    out: Annotated[
        str | None, typer.Option(metavar="DIR", help="Write the resources as NDJSON into this folder.")
    ] = None,
    server: Annotated[
        str | None, typer.Option(help="Send the resources to the FHIR server with this base URL.")
    ] = None,
    format_: Annotated[
        InputFormat,
        typer.Option(
            "--format",
            help="ndjson: DocumentReferences or Bundles, one on each line (.ndjson, .ndjson.gz); files: a note or more "
            "in each file, of any kind that 'fhir-coder code' reads.",
        ),
    ] = InputFormat.NDJSON,
    master: Annotated[
        str, typer.Option(help="Spark's master: local[2], spark://host:7077, yarn, k8s://...; '' under spark-submit.")
    ] = "local[*]",
    partitions: Annotated[
        int, typer.Option(min=1, help="Parts of a batch that are coded at once; each loads the models once.")
    ] = 2,
    files_at_once: Annotated[int, typer.Option("--batch-files", min=1, help="Files of a batch.")] = 16,
    settings_file: SettingsFile = None,
) -> None:
    """Code a history of notes on Apache Spark (the extra "spark" and Java 17 or newer are needed).

    Each resource is written once, with the id that 'fhir-coder code --out' gives it, as OUT/batch=N/type=Condition/...
    What fails is in type=failures, with the reason. A run that was interrupted or killed goes on with the same
    --checkpoint; a later one codes the files that are new.

    Example: fhir-coder spark --in export --out coded --checkpoint coded.checkpoint --master 'local[4]' --partitions 4
    """
    if (out is None) == (server is None):
        raise typer.BadParameter("give either --out DIR or --server URL", param_hint="--out")
    try:
        from fhir_coder.spark.job import Job, run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("pyspark", "pandas", "pyarrow"):
            raise
        raise SettingsError("Spark is not installed; run: pip install 'fhir-coder[spark]'") from error
    settings = Settings.load(settings_file, server=server)
    job = Job(
        source=source,
        format=format_.value,
        out=out,
        checkpoint=checkpoint,
        master=master or None,
        partitions=partitions,
        files_at_once=files_at_once,
    )
    tally = _Tally()
    run(job, settings, tally.add)
    complain(tally.summary())
    if tally.failures:
        raise typer.Exit(1)


class _Tally:
    """What this run did."""

    def __init__(self) -> None:
        self.batches = self.inputs = self.resources = self.failures = 0

    def add(self, progress: Progress) -> None:
        """Count a batch, and tell of it."""
        self.batches += 1
        self.inputs += progress.inputs
        self.resources += progress.resources
        self.failures += progress.failures
        complain(
            f"batch {progress.batch}: {progress.inputs} inputs, {progress.resources} resources, "
            f"{progress.failures} failed"
        )

    def summary(self) -> str:
        """Return it in a sentence."""
        return (
            f"{self.batches} batches: {self.inputs} inputs, {self.resources} resources written, {self.failures} failed"
        )
