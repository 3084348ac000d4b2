"""MLLP and the line protocol where others can reach them, over real connections."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.adapter import ENVIRONMENT, prepared_data

MESSAGE = b"\x0bMSH|^~\\&|A|B|C|D|2025||MDM^T02|1|P|2.5\rPID|1||7^^^R\rTXA|1|HP||||||||||D1\rOBX|1|TX|||HTN\r\x1c\r"
SERVE = [sys.executable, "-m", "fhir_coder", "serve", "--port", "0", "--mllp-port", "0"]
LINES = {"LINE_PROTOCOL": "tcp", "LINE_PORT": "0", "LINE_WORKERS": "0"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_data(tmp_path_factory.mktemp("service") / "data")


def environment(data: Path, **given: str) -> dict[str, str]:
    return {**ENVIRONMENT, "FHIR_CODER_DATA_DIR": str(data), **{f"FHIR_CODER_{name}": given[name] for name in given}}


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"HOST": "0.0.0.0", "AUTH": "none"}, "mllp_peers"),  # noqa: S104
        ({**LINES, "LINE_HOST": "0.0.0.0"}, "line_peers"),  # noqa: S104
        ({"HOST": "0.0.0.0", "AUTH": "none", "MLLP_AUTH": "none", "MLLP_PEERS": '["10.1.2.3"]'}, "mllp_auth"),  # noqa: S104
    ],
)
def test_a_service_where_nobody_is_asked_does_not_start(data: Path, given: dict[str, str], name: str) -> None:
    done = subprocess.run(SERVE, capture_output=True, text=True, env=environment(data, **given), timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert name in done.stderr


def test_nor_does_the_line_protocol_on_its_own(data: Path) -> None:
    command = [sys.executable, "-m", "fhir_coder", "serve-lines", "--host", "0.0.0.0", "--port", "0"]  # noqa: S104
    done = subprocess.run(command, capture_output=True, text=True, env=environment(data), timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert "line_peers" in done.stderr


@pytest.mark.parametrize(("peers", "answered"), [('["127.0.0.1"]', True), ('["10.1.2.3", "10.1.4.0/24"]', False)])
def test_who_is_listed_is_answered(data: Path, peers: str, answered: bool) -> None:
    given = environment(data, **LINES, MLLP_PEERS=peers, LINE_PEERS=peers)
    with subprocess.Popen(SERVE, stdout=subprocess.PIPE, text=True, env=given) as process:
        try:
            assert process.stdout is not None
            mllp = int(process.stdout.readline().split("mllp://127.0.0.1:")[1].split()[0])
            lines = int(process.stdout.readline().split("icd10cm=tcp://127.0.0.1:")[1].split()[0])
            for port, sent in ((mllp, MESSAGE), (lines, b"1,hypertension\n")):
                assert bool(answer(port, sent)) is answered
        finally:
            process.terminate()
            process.wait(30)


def answer(port: int, sent: bytes) -> bytes:
    """What comes first, or nothing where the connection is closed."""
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        try:
            connection.sendall(sent)
            return connection.recv(65536)
        except ConnectionError:
            return b""
