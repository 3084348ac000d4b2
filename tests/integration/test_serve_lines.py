"""The line protocol as processes: alone, beside HTTP and MLLP, and under the load of the benchmark."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from fhir_coder.lookup.certificates import make_certificates

# Names alone settle what is asked here, and a coder without an encoder starts quicker.
ENVIRONMENT = {**os.environ, "FHIR_CODER_ENCODER": "none"}
SECONDS = 60
CANARY = "Zebrafinch"
EXPECTED = {"icd10cm": "I10", "snomed": "38341003"}


@contextmanager
def running(*command: str, lines: int = 1, **settings: object) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Run a command of ours until it has printed so many lines."""
    environment = ENVIRONMENT | {f"FHIR_CODER_{name.upper()}": str(value) for name, value in settings.items()}
    call = [sys.executable, "-m", "fhir_coder", *command]
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            yield process, [process.stdout.readline() for _ in range(lines)]
        finally:
            process.kill()


def ports(line: str, scheme: str = "tcp") -> Mapping[str, int]:
    assert line.startswith("lines: ")
    return {system: int(port) for system, port in re.findall(rf"(\w+)={scheme}://127\.0\.0\.1:(\d+)", line)}


def ask(port: int, *descriptions: str) -> list[str]:
    """Ask as the ancestor's client did: one line sent, one read."""
    answers = []
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection, connection.makefile() as file:
        for number, description in enumerate(descriptions):
            connection.sendall(f"{number},{description}\n".encode())
            answers.append(file.readline().removeprefix(f"{number},").rstrip("\n"))
    return answers


def stderr_after(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> str:
    """Stop a process and return what it has said on stderr."""
    process.send_signal(number)
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    return errors


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until_gone(processes: list[int]) -> None:
    deadline = time.monotonic() + SECONDS
    while any(map(is_running, processes)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_alone() -> None:
    with running("serve-lines", "--port", "0") as (process, (line,)):
        found = ports(line)
        assert list(found) == ["icd10cm", "snomed", "loinc", "rxnorm", "hcpcs"]
        for system, code in EXPECTED.items():
            assert ask(found[system], "high blood pressure", f"{CANARY}, {CANARY}", "Hypertension, essential") == [
                code,
                "",
                {"icd10cm": "I10", "snomed": "59621000"}[system],
            ]
        workers = children(process.pid)
        assert CANARY not in stderr_after(process)
    until_gone(workers)


def test_a_worker_that_dies_is_replaced() -> None:
    with running("serve-lines", "--port", "0") as (process, (line,)):
        port = ports(line)["icd10cm"]
        (worker,) = [
            child for child in children(process.pid) if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()
        ]
        os.kill(worker, signal.SIGKILL)
        assert ask(port, f"{CANARY} hypertension") == ["!failed"]
        assert ask(port, "hypertension") == ["I10"]
        errors = stderr_after(process, signal.SIGINT)
        assert "a lookup process ended (status -9); another one is started" in errors
        assert CANARY not in errors


def test_workers_end_with_a_front_that_is_killed() -> None:
    with running("serve-lines", "--port", "0") as (process, _):
        workers = children(process.pid)
        process.kill()
    until_gone(workers)


@pytest.mark.parametrize("workers", [0, 1])
def test_beside_http_and_mllp(tmp_path: Path, workers: int) -> None:
    prepared = subprocess.run(
        [sys.executable, "-m", "fhir_coder", "terminology", "prepare"],
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        check=True,
    )
    terminology = Path(prepared.stdout.strip().replace("\n", ""))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / terminology.name).symlink_to(terminology)
    files = make_certificates(tmp_path / "tls")
    with running(
        *("serve", "--port", "0", "--mllp-port", "0"),
        lines=2,
        data_dir=tmp_path / "data",
        line_protocol="both",
        line_port=0,
        line_tls_port=0,
        line_tls_certificate=files.server.certificate,
        line_tls_key=files.server.key,
        line_workers=workers,
    ) as (process, (ready, line)):
        http = ready.split()[1]
        assert len(ports(line, "tls")) == 5
        for system, code in EXPECTED.items():
            assert ask(ports(line)[system], "high blood pressure", CANARY) == [code, ""]
        assert httpx2.get(f"{http}/v1/lookup?system=icd10cm&text=hypertension").json()["candidates"][0]["code"] == "I10"
        metrics = httpx2.get(f"{http}/metrics").text
        assert 'fhir_coder_lines_total{answer="coded",system="snomed"} 1.0' in metrics
        assert 'fhir_coder_lines_total{answer="abstained",system="snomed"} 1.0' in metrics
        assert CANARY not in metrics
        assert CANARY not in stderr_after(process)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"line_tls_certificate": "none.pem", "line_tls_key": "none.key"},
            "setting line_tls_certificate: none.pem cannot",
        ),
        ({"line_protocol": "udp"}, "setting line_protocol"),
    ],
)
def test_wrong_settings(settings: dict[str, str], message: str) -> None:
    environment = ENVIRONMENT | {f"FHIR_CODER_{name.upper()}": value for name, value in settings.items()}
    call = [sys.executable, "-m", "fhir_coder", "serve-lines", "--port", "0"]
    call += ["--protocol", "tls"] if "line_tls_key" in settings else []
    done = subprocess.run(call, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 2
    assert message in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def test_a_worker_that_cannot_load_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environment = ENVIRONMENT | {"FHIR_CODER_DATA_DIR": str(tmp_path / "file" / "data")}
    call = [sys.executable, "-m", "fhir_coder", "serve-lines", "--port", "0", "--workers", "2"]
    done = subprocess.run(call, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 1
    assert "cannot be written" in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def benchmark(*options: str) -> subprocess.CompletedProcess[str]:
    call = [
        sys.executable,
        "-m",
        "fhir_coder",
        "benchmark",
        "lookup",
        "--requests",
        "50",
        "--concurrent",
        "7",
        *options,
    ]
    return subprocess.run(call, env=ENVIRONMENT, capture_output=True, text=True, timeout=5 * SECONDS, check=False)


def test_the_benchmark_starts_a_server_and_says_how_right_it_is() -> None:
    done = benchmark("--system", "snomed", "--system", "hcpcs", "--format", "json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert [speed["name"] for speed in figures["speeds"]] == ["snomed", "hcpcs", "all together"]
    assert all(speed["success"] == 1 and speed["requests"] == 50 for speed in figures["speeds"])
    assert figures["ancestor"]["figures"]["snomed"]["per_second"] == 189
    of = {(each["system"], each["kind"]): each for each in figures["accuracies"]}
    assert of["snomed", "exact"]["right"] == of["snomed", "exact"]["first"] == 1
    assert of["hcpcs", "all"]["queries"] == 75


def test_the_benchmark_of_a_server_that_runs(tmp_path: Path) -> None:
    files = make_certificates(tmp_path)
    given = {
        "line_tls_certificate": files.server.certificate,
        "line_tls_key": files.server.key,
        "line_tls_client_ca": files.authority.certificate,
    }
    first = 28911
    with running("serve-lines", "--protocol", "tls", "--tls-port", str(first), **given):
        shown = ("--certificate", str(files.client.certificate), "--key", str(files.client.key))
        options = ("--port", str(first), "--ca", str(files.authority.certificate), *shown, "--no-ranked")
        done = benchmark("--system", "hcpcs", *options)
        assert done.returncode == 0, done.stderr
        assert "100.00%" in done.stdout
        assert "its ancestor, on other hardware" in done.stdout
    done = benchmark("--system", "hcpcs", *options)
    assert done.returncode == 1
    assert "does not take connections" in done.stderr
