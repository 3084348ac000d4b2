"""The files of a release: whatever they are, they are read in bounded memory, or refused with file, line and column."""

from __future__ import annotations

import re
import tracemalloc
import zipfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fhir_coder.errors import TerminologyError
from fhir_coder.terminology import source as source_module
from fhir_coder.terminology.source import Source, SourceFile

MEGABYTE = 1 << 20


def file_of(folder: Path, content: bytes, name: str = "a.txt") -> SourceFile:
    (folder / name).write_bytes(content)
    (file,) = Source(folder / name).files
    return file


def zip_of(path: Path, compression: int = zipfile.ZIP_DEFLATED, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.txt", content)
    return path


# Which files there are


def test_a_file_a_folder_and_a_zip(tmp_path: Path) -> None:
    folder = tmp_path / "release"
    (folder / "inner" / ".hidden").mkdir(parents=True)
    for name in ("b.txt", "inner/A.RRF", ".DS_Store", "inner/.hidden/c.txt"):
        (folder / name).write_text("x")
    assert [(file.name, file.base_name, file.size) for file in Source(folder).files] == [
        ("b.txt", "b.txt", 1),
        ("inner/A.RRF", "A.RRF", 1),
    ]
    assert [file.name for file in Source(folder / "b.txt").files] == ["b.txt"]
    with zipfile.ZipFile(tmp_path / "a.ZIP", "w") as archive:
        archive.writestr("__MACOSX/b.txt", "x")
        archive.writestr("inner/", "")
        archive.writestr("inner/A.RRF", "x")
    source = Source(tmp_path / "a.ZIP")
    assert [file.name for file in source.files] == ["inner/A.RRF"]
    source.close()


def test_names_are_found_whatever_their_case_and_folder(tmp_path: Path) -> None:
    for name in ("one.RRF", "TWO.rrf", "three.txt"):
        (tmp_path / name).write_text("x")
    source = Source(tmp_path)
    assert [file.name for file in source.find("*.rrf")] == ["TWO.rrf", "one.RRF"]
    assert [file.name for file in source.find("ONE.*", "three.txt")] == ["one.RRF", "three.txt"]
    assert source.only("Two.*").name == "TWO.rrf"
    with pytest.raises(TerminologyError, match=r"one file \*\.rrf is wanted, found: TWO\.rrf, one\.RRF"):
        source.only("*.rrf")
    with pytest.raises(TerminologyError, match=r"one file a\.csv or b\.csv is wanted, found: none"):
        source.only("a.csv", "b.csv")
    assert Source(tmp_path / "three.txt").only("*.rrf").name == "three.txt"  # the only one there is


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(TerminologyError, match=r"none: there is no such file or folder"):
        Source(tmp_path / "none")


def test_far_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "_MOST_FILES", 2)
    for name in "abc":
        (tmp_path / name).write_text("x")
    with pytest.raises(TerminologyError, match=r"there are more than 2 files; is this the right one\?"):
        Source(tmp_path)


def test_digests(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_bytes(name.encode())
    folder = Source(tmp_path)
    assert folder.digests() == {}
    assert folder.files[1].whole() == b"b.txt"
    assert folder.digests() == {"b.txt": sha256(b"b.txt").hexdigest()}
    assert Source(tmp_path / "a.txt").digests() == {"a.txt": sha256(b"a.txt").hexdigest()}
    path = zip_of(tmp_path / "c.zip", a=b"x")
    source = Source(path)
    assert source.digests() == {"c.zip": sha256(path.read_bytes()).hexdigest()}
    source.close()


def test_progress(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    for path in (tmp_path / "a.txt", zip_of(tmp_path / "a.zip", a=b"x\n" * MEGABYTE)):
        (tmp_path / "a.txt").write_bytes(b"x\n" * MEGABYTE)
        told.clear()
        source = Source(path, lambda *facts: told.append(facts))
        (file,) = source.files
        assert file.head(3) == b"x\nx"  # is not counted
        assert sum(1 for _ in file.lines()) == MEGABYTE
        assert {(name, size) for name, _, size in told} == {("a.txt", 2 * MEGABYTE)}
        assert sum(count for _, count, _ in told) == 2 * MEGABYTE
        source.close()


# Zips


def test_a_zip_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"<html>Please log in</html>")
    with pytest.raises(TerminologyError, match=r"^a\.zip: this is not a zip file, or it is cut off"):
        Source(tmp_path / "a.zip")


def test_a_zip_that_is_cut_off(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "a.zip", a=b"x" * 1000)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(TerminologyError, match=r"^a\.zip: this is not a zip file, or it is cut off"):
        Source(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_that_is_damaged(tmp_path: Path, compression: int) -> None:
    content = bytes(number * number % 251 for number in range(100_000))
    path = zip_of(tmp_path / "a.zip", compression, a=content)
    damaged = bytearray(path.read_bytes())
    for at in range(len(damaged) // 2, len(damaged) // 2 + 8):
        damaged[at] ^= 0xFF
    path.write_bytes(damaged)
    source = Source(path)
    with pytest.raises(TerminologyError, match=r"^a\.txt: (the zip is damaged|cannot be read)"):
        source.files[0].whole()
    with pytest.raises(TerminologyError, match=r"^a\.txt: (the zip is damaged|cannot be read)"):
        source.files[0].head(200_000)
    source.close()


def encrypted(path: Path) -> Path:
    """Set the flag that a member is encrypted, in its own header and in the directory."""
    content = bytearray(zip_of(path, a=b"x").read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + flags] |= 1
    path.write_bytes(content)
    return path


def test_a_zip_that_is_encrypted(tmp_path: Path) -> None:
    source = Source(encrypted(tmp_path / "a.zip"))
    for read in (source.files[0].whole, source.files[0].head, lambda: list(source.files[0].lines())):
        with pytest.raises(TerminologyError, match=r"^a\.txt: the zip is damaged or encrypted here \(.*encrypted"):
            read()
    source.close()


@given(st.integers(0, 400), st.integers(1, 255))
def test_whatever_is_wrong_with_a_zip_is_said(
    tmp_path_factory: pytest.TempPathFactory, place: int, change: int
) -> None:
    path = zip_of(tmp_path_factory.mktemp("zip") / "a.zip", a=b"some text\n" * 20, ä=b"more text\n" * 20)
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= change
    path.write_bytes(content)
    with suppress(TerminologyError):
        source = Source(path)
        try:
            for file in source.files:
                file.head()
                for _ in file.lines():
                    pass
        finally:
            source.close()


def test_a_fault_of_the_reader_is_not_taken_for_one_of_the_zip(tmp_path: Path) -> None:
    source = Source(zip_of(tmp_path / "a.zip", a=b"x"))
    with pytest.raises(ValueError, match="mine"), source.files[0].open():
        raise ValueError("mine")
    source.close()


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    file = file_of(tmp_path, b"x")
    file.path.unlink()
    for read in (file.whole, file.head, lambda: list(file.lines())):
        with pytest.raises(TerminologyError, match=r"^a\.txt: cannot be read \(No such file or directory\)"):
            read()


def test_a_file_that_is_too_large_to_be_read_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "_LARGEST_WHOLE", 1000)
    with pytest.raises(TerminologyError, match=r"^a\.txt: is too large \(1,001 bytes\) for a file of this format"):
        file_of(tmp_path, b"x" * 1001).whole()


# Lines


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"\xef\xbb\xbf", []),
        (b"\xef\xbb\xbfa\r\nb\r\n", [(1, "a"), (2, "b")]),
        (b"a\nb", [(1, "a"), (2, "b")]),
        (b"\n\na\n", [(1, ""), (2, ""), (3, "a")]),
        (b"a\r", [(1, "a")]),
        ("Ménière\n".encode(), [(1, "Ménière")]),
    ],
)
def test_lines(tmp_path: Path, content: bytes, lines: list[tuple[int, str]]) -> None:
    assert list(file_of(tmp_path, content).lines()) == lines


@given(st.text(st.sampled_from("aé\r\n\t")), st.integers(1, 9))
@example("a\n" * 9, 2)
def test_the_lines_are_those_of_the_whole_text(tmp_path_factory: pytest.TempPathFactory, text: str, block: int) -> None:
    file = file_of(tmp_path_factory.mktemp("lines"), text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source_module, "_BLOCK", block)
        found = list(file.lines())
    whole = text.split("\n")
    if not whole[-1]:
        whole.pop()
    assert found == [(number, line.removesuffix("\r")) for number, line in enumerate(whole, 1)]


def test_a_byte_of_another_encoding(tmp_path: Path) -> None:
    file = file_of(tmp_path, b"abc\n" * 400_000 + b"M\xe9ni\xe8re\n" + b"abc\n")
    with pytest.raises(TerminologyError, match=r"^a\.txt, line 400001, column 2: the byte 0xE9 is not UTF-8; is the"):
        for _ in file.lines():
            pass
    assert list(file_of(tmp_path, b"M\xe9ni\xe8re").lines("cp1252")) == [(1, "Ménière")]


def test_a_byte_of_another_encoding_at_the_very_end(tmp_path: Path) -> None:
    with pytest.raises(TerminologyError, match=r"^a\.txt, line 2, column 3: the byte 0xFF is not UTF-8"):
        list(file_of(tmp_path, b"a\nbc\xff").lines())


def test_a_line_that_never_ends(tmp_path: Path) -> None:
    file = file_of(tmp_path, b"a\n" + b"x" * (18 * MEGABYTE))
    with pytest.raises(TerminologyError, match=r"^a\.txt, line 2: the line is longer than 16 MB; is this the right"):
        list(file.lines())


@pytest.mark.parametrize("zipped", [False, True])
def test_the_memory_stays_bounded(tmp_path: Path, zipped: bool) -> None:
    line = b"C0004096|" * 113 + b"Asthma\n"
    content = line * (50 * MEGABYTE // len(line))
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    if zipped:
        path = zip_of(tmp_path / "a.zip", a=content)
    del content
    source = Source(path)
    tracemalloc.start()
    try:
        assert sum(1 for _ in source.files[0].lines()) > 50_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        source.close()
    assert peak < 10 * MEGABYTE


# Tables


def test_rows(tmp_path: Path) -> None:
    file = file_of(tmp_path, b'ID|Name\n1|a "b\n\n2|\n')
    assert list(file.rows("|", 2, header=("id", "name"))) == [(2, ["1", 'a "b']), (4, ["2", ""])]
    assert next(iter(file.rows("|", 2))) == (1, ["ID", "Name"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ": the file is empty"),
        (b"id|text\n1|a\n", r", line 1: the columns are not id, name; is this the right file\?"),
        (b"id|name\n1|a\n2\n3|c\n", r", line 3: 1 columns instead of 2; is the file cut off\?"),
        (b"id|name\n1|a\n2|b|c\n", ", line 3: 3 columns instead of 2"),
    ],
)
def test_rows_that_cannot_be(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(TerminologyError, match=rf"^a\.txt{message}"):
        list(file_of(tmp_path, content).rows("|", 2, header=("id", "name")))


def test_records(tmp_path: Path) -> None:
    file = file_of(tmp_path, b'\xef\xbb\xbf"id", name\r\n1,"a, ""b"""\r\n\r\n2,"c\r\nd"\r\n')
    assert list(file.records(("id", "name"))) == [
        (2, {"id": "1", "name": 'a, "b"'}),
        (5, {"id": "2", "name": "c\nd"}),
    ]
    bare = file_of(tmp_path, b'id\tname\n1\ta "b\n')
    assert list(bare.records(("name",), delimiter="\t", quoted=False)) == [(2, {"id": "1", "name": 'a "b'})]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ": the file is empty"),
        (b"id,text\n1,a\n", r", line 1: the column name is missing; is this the right file\?"),
        (b"id,name\n1,a\n2\n3,c\n", r", line 3: 1 columns instead of 2; is the file cut off\?"),
        (b"id,name\n1,a\n2,b,c\n", ", line 3: 3 columns instead of 2"),
        (b'id,name\n1,a\n2,"b', r", line 3: unexpected end of data; is the file cut off\?"),
        (b'id,name\n1,"a"b\n2,c\n', r", line 2: '.' expected after '.'; is the file cut off\?"),
        (b'id,name\n1,"' + b"a\n" * 100_000, r", line \d+: field larger than field limit \(131072\); is the file"),
        (b"id,name\n1,M\xe9ni\xe8re\n", ", line 2, column 4: the byte 0xE9 is not UTF-8"),
    ],
)
def test_records_that_cannot_be(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(TerminologyError, match=rf"^a\.txt{message}"):
        list(file_of(tmp_path, content).records(("id", "name")))


def test_the_errors_name_the_place(tmp_path: Path) -> None:
    file = file_of(tmp_path, b"")
    assert str(file.error("wrong")) == "a.txt: wrong"
    assert str(file.error("wrong", 3, "CUI")) == "a.txt, line 3, column CUI: wrong"
    assert re.fullmatch("a.txt, line 3, column 7: wrong", str(file.error("wrong", 3, 7)))
