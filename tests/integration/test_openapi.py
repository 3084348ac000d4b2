"""The OpenAPI description is true: schemathesis asks every route what it says it takes, and what it says it does not.

`st run URL/openapi.json --config-file tests/integration/schemathesis.toml` does so at length.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.adapter import prepared_data
from tests.integration.http_service import http_service

CONFIG = Path(__file__).with_name("schemathesis.toml")
# Valid by its schema, a resource may still say what cannot be followed (422): a text that is no base64, a code that is
# not there. Whether what it accepts is right is what the other tests are for.
EXCLUDED = "positive_data_acceptance"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service that everybody on this machine may call."""
    with http_service(prepared_data(tmp_path_factory.mktemp("openapi") / "data")) as started:
        yield started


def test_every_route_answers_as_it_is_described(url: str, tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run", f"{url}/openapi.json"),
        *("--phases", "examples,fuzzing", "--max-examples", "8", "--seed", "1", "--generation-deterministic"),
        *("--checks", "all", "--exclude-checks", EXCLUDED, "--continue-on-failure", "--no-shrink", "--no-color"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert re.search(r"Selected: (\d+)/\1\s+Tested: \1\s", done.stdout), "not every route was asked"
