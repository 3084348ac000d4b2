"""The service as a process that listens to HTTP alone."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.adapter import ENVIRONMENT

_READY = re.compile(r"ready: (https?://\S+)")


@contextmanager
def http_service(data: Path, **settings: object) -> Iterator[str]:
    """Run the service with its data in a folder, and yield its URL."""
    given = {f"FHIR_CODER_{name.upper()}": str(value) for name, value in settings.items()}
    environment = {**ENVIRONMENT, "FHIR_CODER_DATA_DIR": str(data), "FHIR_CODER_MLLP": "off", **given}
    command = [sys.executable, "-m", "fhir_coder", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            found = _READY.match(process.stdout.readline())
            assert found
            yield found[1]
        finally:
            process.terminate()
            process.wait(30)
