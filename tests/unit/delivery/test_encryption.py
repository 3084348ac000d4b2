"""The delivery database, encrypted: no word of a note on the disk, and no way in without the key."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import pytest

from fhir_coder.delivery.database import open_database, open_database_of
from fhir_coder.delivery.inbox import Inbox
from fhir_coder.errors import SettingsError, StorageError
from fhir_coder.settings import Settings

pytest.importorskip("sqlcipher3", reason="the extra [encryption] is not installed")

CANARY = b"Zebrafinch"
KEY = secrets.token_hex(32)


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())


def store(settings: Settings) -> None:
    engine = open_database_of(settings)
    inbox = Inbox(engine)
    inbox.store("hl7v2", CANARY * 1000, "key")
    item = inbox.take()
    assert item is not None
    assert item.payload.startswith(CANARY)
    inbox.close()
    assert CANARY not in on_disk(settings.data_dir)  # nor in the write-ahead log
    engine.dispose()


def test_nothing_can_be_read_on_the_disk(tmp_path: Path) -> None:
    store(Settings.load(data_dir=tmp_path, database_key=KEY))
    assert len(on_disk(tmp_path)) > 10_000
    assert b"SQLite format 3" not in on_disk(tmp_path)
    assert KEY.encode() not in on_disk(tmp_path)


def test_the_key_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    data = tmp_path / "data"
    store(Settings.load(data_dir=data, database_key_file=tmp_path / "key"))
    open_database(data, key=KEY).dispose()


@pytest.mark.parametrize("key", [None, "0" * 64])
def test_without_the_key(tmp_path: Path, key: str | None) -> None:
    open_database(tmp_path, key=KEY).dispose()
    with pytest.raises(StorageError, match="cannot be read with these settings") as raised:
        open_database(tmp_path, key=key)
    assert "database_key" in str(raised.value) or "another one" in str(raised.value)


def test_a_database_that_was_made_without_a_key(tmp_path: Path) -> None:
    open_database(tmp_path).dispose()
    with pytest.raises(StorageError, match="made without a key"):
        open_database(tmp_path, key=KEY)


@pytest.mark.parametrize(
    "given", [{"database_key": "hunter2"}, {"database_key": "x'; DROP TABLE"}, {"database_key_file": Path("/nowhere")}]
)
def test_what_is_no_key(tmp_path: Path, given: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="database_key") as raised:
        open_database_of(Settings.load(data_dir=tmp_path, **given))
    assert "hunter2" not in str(raised.value)


def test_postgresql_is_not_encrypted_by_us(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="encrypt its disk"):
        open_database(tmp_path, "postgresql://someone@127.0.0.1/nothing", KEY)
