"""The files of a release as its publisher ships them: a file, a folder or a zip, read in pieces of bounded size.

Every fault is a `TerminologyError` that names the file, the line and the column.
"""

from __future__ import annotations

import csv
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from fnmatch import fnmatch
from hashlib import file_digest
from pathlib import Path
from typing import IO, Protocol

from fhir_coder.errors import TerminologyError

Advance = Callable[[str, int, int], None]
"""Told, while reading, the name of the file, the bytes read since the last call, and the size of the file."""

_BLOCK = 1 << 20  # bytes
_LONGEST_LINE = 1 << 24  # bytes; no release has a longer one
_LARGEST_WHOLE = 1 << 29  # bytes; of what has to be in memory as a whole
_MOST_FILES = 100_000
# What `zipfile` raises for a zip that is damaged, encrypted, or compressed in a way that it does not know. (Damage to
# the name of a member shows as a ValueError.)
_ZIP_FAULTS = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, EOFError, RuntimeError, ValueError)


class Source:
    """What the user wants to import.

    Raises `TerminologyError` when there is no such file, or a zip is none.
    """

    def __init__(self, path: Path, advance: Advance = lambda *_: None) -> None:
        self.path = path
        self._advance = advance
        self._zip: zipfile.ZipFile | None = None
        if path.is_dir():
            self.files = [
                SourceFile(str(entry.relative_to(path)), entry.stat().st_size, entry, None, advance)
                for entry in sorted(path.rglob("*"))
                if entry.is_file() and not any(part.startswith(".") for part in entry.relative_to(path).parts)
            ]
        elif not path.is_file():
            raise TerminologyError(f"{path}: there is no such file or folder")
        elif path.suffix.lower() == ".zip":
            self._zip = _open_zip(path)
            self.files = [
                SourceFile(entry.filename, entry.file_size, path, self._zip, advance)
                for entry in self._zip.infolist()
                if not entry.is_dir() and not entry.filename.startswith("__MACOSX")
            ]
        else:
            self.files = [SourceFile(path.name, path.stat().st_size, path, None, advance)]
        if len(self.files) > _MOST_FILES:
            raise TerminologyError(f"{path}: there are more than {_MOST_FILES:,} files; is this the right one?")

    def close(self) -> None:
        """Close the zip."""
        if self._zip:
            self._zip.close()

    def find(self, *patterns: str) -> list[SourceFile]:
        """Return the files whose base name fits one of the shell patterns, whatever the case."""
        return [
            file for file in self.files if any(fnmatch(file.base_name.lower(), pattern.lower()) for pattern in patterns)
        ]

    def only(self, *patterns: str) -> SourceFile:
        """Return the one file that fits a pattern, or else the only file there is.

        Raises `TerminologyError` when there is none, or there are several.
        """
        found = self.find(*patterns) or (self.files if len(self.files) == 1 else [])
        if len(found) != 1:
            there = ", ".join(file.name for file in found[:5]) or "none"
            raise TerminologyError(f"{self.path.name}: one file {' or '.join(patterns)} is wanted, found: {there}")
        return found[0]

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of the file, the zip, or each file of the folder that was opened."""
        if not self.path.is_dir():
            return {self.path.name: _sha256(self.path)}
        return {file.name: _sha256(file.path) for file in self.files if file.was_read}


class SourceFile:
    """One file of a source. It may be read several times, never in whole unless asked to."""

    def __init__(self, name: str, size: int, path: Path, archive: zipfile.ZipFile | None, advance: Advance) -> None:
        self.name = name
        self.size = size
        self.path = path
        self.was_read = False
        self._archive = archive
        self._advance = advance

    @property
    def base_name(self) -> str:
        """The name without its folders."""
        return self.name.replace("\\", "/").rpartition("/")[2]

    def error(self, message: str, line: int | None = None, column: int | str | None = None) -> TerminologyError:
        """Return the error to raise for a fault at a line (from 1) and a column (from 1, or its name)."""
        place = "".join(f", {word} {value}" for word, value in (("line", line), ("column", column)) if value)
        return TerminologyError(f"{self.name}{place}: {message}")

    @contextmanager
    def open(self) -> Iterator[Readable]:
        """Open the file as bytes. A fault of the zip or the disk while reading becomes a `TerminologyError`."""
        self.was_read = True
        with self._opened() as stream:
            yield _Counted(stream, lambda count: self._advance(self.base_name, count, self.size), self._faults)

    def _opened(self) -> IO[bytes]:
        with self._faults():
            return self._archive.open(self.name) if self._archive else self.path.open("rb")

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self.error(f"cannot be read ({error.strerror or error})") from error
        except _ZIP_FAULTS as error:
            advice = "fetch it again, or unpack it and import the folder"
            raise self.error(f"the zip is damaged or encrypted here ({error}); {advice}") from error

    def whole(self) -> bytes:
        """Return all bytes, for formats that cannot be read in pieces. Raises `TerminologyError` above 512 MB."""
        if self.size > _LARGEST_WHOLE:
            raise self.error(f"is too large ({self.size:,} bytes) for a file of this format")
        with self.open() as stream:
            return stream.read(_LARGEST_WHOLE)

    def head(self, size: int = 4096) -> bytes:
        """Return the first bytes, to recognise a format by; the progress does not count them."""
        with self._opened() as stream, self._faults():
            return stream.read(size)

    def lines(self, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
        """Yield every line with its number, from 1, without its line end; a byte order mark is dropped.

        Raises `TerminologyError` where a line is not of the encoding, or longer than 16 MB.
        """
        number = 0
        rest = b""
        with self.open() as stream:
            while block := stream.read(_BLOCK):
                if number == 0 and not rest:
                    block = block.removeprefix(b"\xef\xbb\xbf")
                whole, newline, tail = (rest + block).rpartition(b"\n")
                if len(tail) > _LONGEST_LINE:
                    raise self.error("the line is longer than 16 MB; is this the right file?", number + 1)
                rest = tail
                if newline:
                    for line in self._decode(whole, encoding, number).split("\n"):
                        number += 1
                        yield number, line.removesuffix("\r")
        if rest:
            yield number + 1, self._decode(rest, encoding, number).removesuffix("\r")

    def _decode(self, block: bytes, encoding: str, before: int) -> str:
        try:
            return block.decode(encoding)
        except UnicodeDecodeError as error:
            line = before + 1 + block.count(b"\n", 0, error.start)
            column = error.start - block.rfind(b"\n", 0, error.start)
            message = f"the byte 0x{block[error.start]:02X} is not {encoding.upper()}; is the file of another encoding?"
            raise self.error(message, line, column) from error

    def rows(
        self, delimiter: str, columns: int, *, header: Sequence[str] | None = None
    ) -> Iterator[tuple[int, list[str]]]:
        """Yield the fields of every line, with its number; blank lines are left out. There is no quoting.

        `columns` is how many fields a line has. `header` is what the first line must say, where there is one.
        Raises `TerminologyError` where a line has another number of fields, or the header is missing.
        """
        number = 0
        for number, line in self.lines():
            fields = line.split(delimiter)
            if header is not None and number == 1:
                if [field.strip().lower() for field in fields] != [name.lower() for name in header]:
                    raise self.error(f"the columns are not {', '.join(header)}; is this the right file?", 1)
            elif len(fields) == columns:
                yield number, fields
            elif line.strip():
                raise self.error(f"{len(fields)} columns instead of {columns}; is the file cut off?", number)
        if header is not None and number == 0:
            raise self.error("the file is empty")

    def records(
        self, wanted: Sequence[str], *, delimiter: str = ",", quoted: bool = True, encoding: str = "utf-8"
    ) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield every record of a table with a header as a dict by column name, with its line number.

        Raises `TerminologyError` when a wanted column is missing or a record has another number of fields.
        """
        position = 0

        def text() -> Iterator[str]:
            nonlocal position
            for position, line in self.lines(encoding):  # noqa: B007 -- told to the errors below
                yield line + "\n"

        reader = csv.reader(
            text(), delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE, strict=quoted
        )
        header: list[str] | None = None
        try:
            for fields in reader:
                if header is None:
                    header = [name.strip() for name in fields]
                    missing = [name for name in wanted if name not in header]
                    if missing:
                        raise self.error(f"the column {missing[0]} is missing; is this the right file?", 1)
                elif len(fields) == len(header):
                    yield position, dict(zip(header, fields, strict=True))
                elif fields:
                    raise self.error(f"{len(fields)} columns instead of {len(header)}; is the file cut off?", position)
        except csv.Error as error:
            raise self.error(f"{error}; is the file cut off?", position) from error
        if header is None:
            raise self.error("the file is empty")


class Readable(Protocol):
    """What is read from: bytes, at most so many at once."""

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, or none at the end."""


class _Counted:
    """A stream that tells how many bytes were read from it. `faults` makes of what goes wrong what is raised."""

    def __init__(
        self, stream: IO[bytes], told: Callable[[int], None], faults: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._stream = stream
        self._told = told
        self._faults = faults

    def read(self, size: int = -1, /) -> bytes:
        with self._faults():
            block = self._stream.read(size)
        self._told(len(block))
        return block


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (*_ZIP_FAULTS, OSError) as error:
        raise TerminologyError(f"{path.name}: this is not a zip file, or it is cut off ({error})") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()
