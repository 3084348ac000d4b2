"""Who works on what is claimed: this process, and how others see that it is gone.

Beside an SQLite file each process holds a lock on a file of its own. The system gives the lock back when the process
ends, however it ends, so what it had in hand can be taken at once by the next one. On PostgreSQL, where processes may
run on other machines, claims run out.
"""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout
from sqlalchemy import Engine

from fhir_coder.delivery.database import is_sqlite


class Owner:
    """This process, for one queue."""

    def __init__(self, engine: Engine) -> None:
        """Raises OSError when the lock cannot be written beside the SQLite file."""
        self.name = uuid4().hex
        self._folder = Path(f"{engine.url.database}-owners") if is_sqlite(engine) else None
        self._lock: FileLock | None = None
        if self._folder is not None:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._lock = FileLock(self._folder / self.name, thread_local=False)
            self._lock.acquire(timeout=0)

    def is_gone(self, name: str) -> bool:
        """Whether the process of that name has ended. False where that cannot be told."""
        if self._folder is None or name == self.name:
            return False
        path = self._folder / name
        if not path.exists():
            return True
        try:
            with FileLock(path, timeout=0):
                path.unlink(missing_ok=True)
        except Timeout:
            return False
        return True

    def close(self) -> None:
        """Be gone."""
        if self._lock is not None and self._folder is not None:
            (self._folder / self.name).unlink(missing_ok=True)
            self._lock.release()
