"""READ FIRST in this folder. The job: structured streaming over all that is there (`availableNow`), with a checkpoint.

    files -> rows of (source, content) -> partitions, coded -> each resource once -> a folder per batch

Every batch is written down in the checkpoint before it begins, and marked as done after its rows are written. A job
that was killed begins the batch again that was under way, and its rows take the place of those that it had written.
Resources that several batches give (the same note, twice in the export) are known by their ids, which the checkpoint
keeps.

Source: https://spark.apache.org/docs/latest/streaming/apis-on-dataframes-and-datasets.html
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f

from fhir_coder.delivery.client import FhirClient
from fhir_coder.errors import DeliveryError, InputError
from fhir_coder.settings import Settings
from fhir_coder.spark.partition import FAILURE, SCHEMA, Format, coding

_FILE = "path string, modificationTime timestamp, length long, content binary"
_OF_ERROR = re.compile(r"fhir_coder\.errors\.\w+: (.+)")
_ROCKSDB = "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be done. Places are paths, or URIs that Spark's installation knows (s3a://, hdfs://)."""

    source: str
    format: Format
    out: str | None  # folder of the resources, where they are not sent to the server of the settings
    checkpoint: str
    master: str | None  # None: what spark-submit says
    partitions: int
    files_at_once: int  # in one batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One batch that is done. With a server, `resources` is 0: what it took is not counted here."""

    batch: int
    inputs: int
    resources: int
    failures: int


def run(job: Job, settings: Settings, tell: Callable[[Progress], None]) -> None:
    """Code what is there and was not coded yet; `tell` hears of every batch.

    Raises `SettingsError` and `InputError` when credentials or a place cannot be used, and `DeliveryError` when a batch
    could not be finished; what was done before is done, and a call with the same checkpoint goes on from there.
    """
    client = FhirClient.of(settings)  # credentials that cannot be used are told before anything is begun
    if client is not None:
        client.close()
    job = replace(job, source=_uri(job.source), out=job.out and _uri(job.out), checkpoint=_uri(job.checkpoint))
    spark = _session(job)
    try:
        _require_places(spark, job)
        _stream(spark, job, settings, tell)
    finally:
        spark.stop()


def failures_folder(job: Job) -> str:
    """Return where the rows of failures are: with the resources, or beside the checkpoint."""
    return job.out or f"{job.checkpoint}/failed"


def _uri(place: str) -> str:
    return place.rstrip("/") if "://" in place else Path(place).absolute().as_uri()


def _session(job: Job) -> SparkSession:
    builder: Any = SparkSession.builder
    settings = {
        "spark.app.name": "fhir-coder",
        "spark.log.level": "OFF",  # of errors, we tell what may be told
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.python.worker.reuse": "true",  # the models stay loaded
        "spark.sql.shuffle.partitions": str(job.partitions),
        "spark.sql.streaming.stateStore.providerClass": _ROCKSDB,  # the ids of a history do not fit into memory
        # A batch of Arrow becomes one of ours: notes are long, and 10,000 of them would be held at once.
        "spark.sql.execution.arrow.maxRecordsPerBatch": "256",
        # What Spark spills to its local folders are notes.
        "spark.io.encryption.enabled": "true",
    }
    if job.master:
        settings["spark.master"] = job.master
    if (job.master or "").startswith("local"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # else the first python3 that is found
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        settings |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
        if job.checkpoint.startswith("file://"):
            settings["spark.local.dir"] = str(_empty_folder(Path(job.checkpoint.removeprefix("file://")) / "local"))
    for name, value in settings.items():
        builder = builder.config(name, value)
    session: SparkSession = builder.getOrCreate()
    return session


def _empty_folder(folder: Path) -> Path:
    """Make a folder for Spark's temporary files that is the owner's alone; what a killed run left in it is deleted."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made: {error.strerror}; choose another --checkpoint") from error
    return folder


def _require_places(spark: SparkSession, job: Job) -> None:
    if not _exists(spark, job.source):
        raise InputError("--in names no folder; name the one that holds the notes", code="not-found")
    begun = _exists(spark, f"{job.checkpoint}/metadata")
    if not begun and _exists(spark, f"{failures_folder(job)}/batch=0"):
        raise InputError("--out holds what another checkpoint's run wrote; choose another folder, or that checkpoint")


def _stream(spark: SparkSession, job: Job, settings: Settings, tell: Callable[[Progress], None]) -> None:
    failed = f.col("type") == FAILURE
    coded = (
        _inputs(spark, job)
        .repartition(job.partitions)
        .mapInArrow(coding(settings, job.format), SCHEMA)
        .dropDuplicates(["type", "id"])
        .observe("rows", f.count_if(~failed).alias("resources"), f.count_if(failed).alias("failures"))
    )
    folder = failures_folder(job)

    def write(batch: DataFrame, number: int) -> None:
        target = f"{folder}/batch={number}"
        batch.select("type", "line").write.mode("overwrite").partitionBy("type").text(target)
        _name_as_ndjson(spark, target)

    query = (
        coded.writeStream.foreachBatch(write)
        .option("checkpointLocation", job.checkpoint)
        .trigger(availableNow=True)
        .start()
    )
    told = -1
    while True:
        try:
            ended = query.awaitTermination(1)
        except StreamingQueryException as error:
            raise DeliveryError(f"a batch could not be finished: {_reason(error)}; run the command again") from None
        for progress in query.recentProgress:
            if progress["batchId"] > told and "rows" in progress["observedMetrics"]:
                told = progress["batchId"]
                counts = progress["observedMetrics"]["rows"]
                tell(
                    Progress(
                        batch=told,
                        inputs=progress["numInputRows"],
                        resources=counts["resources"] if job.out else 0,
                        failures=counts["failures"],
                    )
                )
        if ended:
            return


def _inputs(spark: SparkSession, job: Job) -> DataFrame:
    """Rows of (source, content): the lines of bulk data as bytes, which Spark must not decode, or whole files."""
    reader = spark.readStream.option("maxFilesPerTrigger", job.files_at_once).option("recursiveFileLookup", "true")
    if job.format == "files":
        return reader.format("binaryFile").schema(_FILE).load(job.source).selectExpr("path AS source", "content")
    lines = reader.option("pathGlobFilter", "*.ndjson{,.gz}").option("lineSep", "\n").text(job.source)
    return lines.selectExpr("_metadata.file_path AS source", "CAST(value AS BINARY) AS content")


def _exists(spark: SparkSession, place: str) -> bool:
    path, files = _filesystem(spark, place)
    return bool(files.exists(path))


def _name_as_ndjson(spark: SparkSession, folder: str) -> None:
    """Rename what Spark wrote as text. A run that ends in between begins the batch again, and overwrites it."""
    path, files = _filesystem(spark, f"{folder}/*/*.txt")
    for status in files.globStatus(path) or ():
        found = status.getPath()
        files.rename(found, found.getParent().suffix(f"/{found.getName().removesuffix('.txt')}.ndjson"))


def _filesystem(spark: SparkSession, place: str) -> tuple[Any, Any]:
    """Return Hadoop's path and file system of a place: whatever Spark can write to."""
    virtual_machine: Any = spark._jvm
    path = virtual_machine.org.apache.hadoop.fs.Path(place)
    session: Any = spark
    return path, path.getFileSystem(session._jsc.hadoopConfiguration())


def _reason(error: StreamingQueryException) -> str:
    """Why, without PHI: our own errors hold none; of others, only the kind is told."""
    text = str(error)
    found = _OF_ERROR.search(text)
    if found:
        return found[1].strip()
    kinds = re.findall(r"\b[a-z]+(?:\.[A-Za-z]+)*\.([A-Z]\w+(?:Exception|Error))\b", text)
    return ", ".join(dict.fromkeys(kinds)) or "for an unknown reason"
