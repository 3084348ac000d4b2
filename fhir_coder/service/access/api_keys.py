"""API keys: made here, shown once, and kept as hashes in a file.

A key holds 256 random bits, so that SHA-256 keeps it as well as a slow hash would: there is no dictionary to try, and
a slow hash at each request would be work that anybody can have the service do.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from fhir_coder.errors import SettingsError
from fhir_coder.service.access.caller import Caller
from fhir_coder.service.access.scopes import Scopes, require_scopes

PREFIX = "fhc_"  # tells a key from a token, and scanners of leaked secrets what they found
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept."""

    name: str
    sha256: str  # of the key, in hexadecimal
    scopes: tuple[str, ...]
    created: str  # ISO 8601


class ApiKeys:
    """The keys of a file. The file is read again when it has changed: keys come and go without a restart."""

    def __init__(self, path: Path) -> None:
        """Raises `SettingsError` when the file cannot be read or is none of ours."""
        self._path = path
        self._stamp = _stamp(path)
        self._keys = read_keys(path)

    def caller(self, key: str) -> Caller | None:
        """Return who calls with a key, or None. All hashes are compared, each in constant time."""
        self._refresh()
        digest = _digest(key)
        found = [each for each in self._keys if hmac.compare_digest(each.sha256, digest)]
        return Caller(f"key {found[0].name}", Scopes.parse(found[0].scopes)) if found else None

    def _refresh(self) -> None:
        try:
            stamp = _stamp(self._path)
            if stamp != self._stamp:
                self._keys = read_keys(self._path)
                self._stamp = stamp
        except SettingsError:
            self._keys = ()  # nobody gets in by a file that cannot be read
            self._stamp = (0, 0)


def add_key(path: Path, name: str, scopes: Sequence[str]) -> str:
    """Add a key to the file, which is made if need be, and return it: nobody can find it out later.

    Raises `SettingsError` when the name is taken or none, or the file cannot be used; `AccessError` for a wrong scope.
    """
    if not _NAME.fullmatch(name):
        raise SettingsError("a key's name has from 1 to 64 letters, digits, points, dashes and underscores")
    granted = require_scopes(scopes)
    key = PREFIX + secrets.token_urlsafe(32)
    with _locked(path):
        kept = read_keys(path) if path.exists() else ()
        if any(each.name == name for each in kept):
            raise SettingsError(f"there is a key named {name} already; remove it first, or take another name")
        created = datetime.now(UTC).isoformat(timespec="seconds")
        _write(path, (*kept, ApiKey(name, _digest(key), granted, created)))
    return key


def remove_key(path: Path, name: str) -> None:
    """Remove a key. Raises `SettingsError` when there is none of that name, or the file cannot be used."""
    with _locked(path):
        kept = read_keys(path)
        if all(each.name != name for each in kept):
            raise SettingsError(f"there is no key named {name}; 'fhir-coder keys list' shows them")
        _write(path, [each for each in kept if each.name != name])


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """Return the keys of a file. Raises `SettingsError` when it cannot be read or is none of ours."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"setting api_keys: {path} cannot be read ({error.strerror}); 'fhir-coder keys add NAME' makes it"
        ) from error
    except ValueError as error:
        raise SettingsError(f"setting api_keys: {path} is not JSON") from error
    try:
        keys = tuple(
            ApiKey(str(each["name"]), str(each["sha256"]), tuple(map(str, each["scopes"])), str(each["created"]))
            for each in read["keys"]
        )
    except (KeyError, TypeError) as error:
        raise SettingsError(f"setting api_keys: {path} is none of ours; make one by 'fhir-coder keys add'") from error
    if not all(_SHA256.fullmatch(each.sha256) for each in keys):
        raise SettingsError(f"setting api_keys: {path} has an entry whose sha256 is none")
    return keys


def _locked(path: Path) -> FileLock:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"setting api_keys: {path.parent} cannot be made ({error.strerror})") from error
    return FileLock(path.with_name(path.name + ".lock"))


def _write(path: Path, keys: Sequence[ApiKey]) -> None:
    """Write the file whole or not at all, for its owner alone."""
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:
            json.dump({"keys": [asdict(key) for key in keys]}, stream, indent=2)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(path)
    except OSError as error:
        raise SettingsError(f"setting api_keys: {path} cannot be written ({error.strerror})") from error


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _stamp(path: Path) -> tuple[int, int]:
    try:
        state = path.stat()
    except OSError as error:
        raise SettingsError(
            f"setting api_keys: {path} cannot be read ({error.strerror}); 'fhir-coder keys add NAME' makes it"
        ) from error
    return state.st_mtime_ns, state.st_ino
