"""A PostgreSQL of one's own in a folder, started and killed at will: for crash.py and the tests."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
_START_SECONDS = 30.0


def binaries() -> Path | None:
    """Return the folder of the server's programs, or None where it is not installed."""
    found = shutil.which("initdb")
    return Path(found).parent if found else _BINARIES[-1] if _BINARIES else None


class PostgreSQL:
    """A cluster. A context manager; `url` is that of its database."""

    def __init__(self, folder: Path) -> None:
        """`folder` is made; the server, which does not run as root, runs as nobody where we are root."""
        programs = binaries()
        if programs is None:
            raise FileNotFoundError("PostgreSQL is not installed (initdb, postgres)")
        self._programs = programs
        self._folder = folder
        self._user = ["runuser", "-u", "nobody", "--"] if os.geteuid() == 0 else []
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.url = f"postgresql://fhir@127.0.0.1:{self._port}/postgres"
        folder.mkdir(mode=0o700)
        if self._user:
            shutil.chown(folder, "nobody")
        self._run("initdb", "-D", str(folder / "data"), "-U", "fhir", "--auth=trust", "--no-locale", "-E", "UTF8")

    def __enter__(self) -> PostgreSQL:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-m", "immediate", "stop", check=False)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-p {self._port} -k {self._folder} -c listen_addresses=127.0.0.1"
        log = str(self._folder / "log")
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-l", log, "-o", options, "-w", "start")

    def kill(self) -> None:
        """Kill it as a power cut would, and wait until its processes are gone."""
        pid = int((self._folder / "data" / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + _START_SECONDS
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.3)  # its children notice, and end; a start before that is refused

    def _run(self, program: str, *arguments: str, check: bool = True) -> None:
        command = [*self._user, str(self._programs / program), *arguments]
        # The server keeps what it inherits, so nothing is piped; and it must be able to stand where it is started.
        subprocess.run(command, check=check, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", timeout=60)
