"""The lines: whatever bytes come, in whatever pieces, each line is read once and as it stands."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.lookup.protocol import Line, LineReader, Refusal, answer, parse, refuse

LIMIT = 64


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"1,hypertension", Line(b"1", "hypertension")),
        (b"7,diabetes, type 2, uncontrolled", Line(b"7", "diabetes, type 2, uncontrolled")),
        (b"0042, high blood pressure \r", Line(b"0042", "high blood pressure")),
        (" 3 ,Ménière’s disease".encode(), Line(b"3", "Ménière’s disease")),
        (b"99999999999999999999,x", Line(b"99999999999999999999", "x")),
        (b"999999999999999999999,x", Line(b"", refusal=Refusal.NO_SEQUENCE_NUMBER)),
        (b"hypertension", Line(b"", refusal=Refusal.NO_SEQUENCE_NUMBER)),
        (b"hypertension, essential", Line(b"", refusal=Refusal.NO_SEQUENCE_NUMBER)),
        (b",hypertension", Line(b"", refusal=Refusal.NO_SEQUENCE_NUMBER)),
        (b"-1,hypertension", Line(b"", refusal=Refusal.NO_SEQUENCE_NUMBER)),
        ("١,hypertension".encode(), Line(b"", refusal=Refusal.NO_SEQUENCE_NUMBER)),
        (b"", Line(b"", refusal=Refusal.NO_SEQUENCE_NUMBER)),
        (b"5", Line(b"5", refusal=Refusal.EMPTY_DESCRIPTION)),
        (b"5,", Line(b"5", refusal=Refusal.EMPTY_DESCRIPTION)),
        (b"5, \t\r", Line(b"5", refusal=Refusal.EMPTY_DESCRIPTION)),
        (b"5,caf\xe9", Line(b"5", refusal=Refusal.NOT_UTF8)),
        (b"5,\xed\xa0\x80", Line(b"5", refusal=Refusal.NOT_UTF8)),  # half of a surrogate pair
    ],
)
def test_parse(line: bytes, expected: Line) -> None:
    assert parse(line) == expected


def test_answers() -> None:
    assert answer(b"12", "E11.65") == b"12,E11.65\n"
    assert answer(b"12", "") == b"12,\n"
    assert refuse(b"", Refusal.NO_SEQUENCE_NUMBER) == b",!no-sequence-number\n"


@given(st.integers(0, 10**20 - 1), st.text(st.characters(codec="utf-8", exclude_characters="\n")))
def test_what_a_client_writes_is_what_is_read(number: int, text: str) -> None:
    line = parse(f"{number},{text}".encode())
    assert line.sequence == str(number).encode()
    assert line.text == text.strip()
    assert (line.refusal is None) == bool(text.strip())


@given(st.binary())
def test_no_bytes_are_a_fault(data: bytes) -> None:
    line = parse(data.replace(b"\n", b""))
    assert (line.refusal is None) == bool(line.text)
    assert line.sequence.isdigit() or line.sequence == b""


def read_all(reader: LineReader) -> list[Line]:
    lines = []
    while (line := reader.next()) is not None:
        lines.append(line)
    return lines


@given(st.binary(max_size=500), st.lists(st.integers(0, 500)))
def test_the_pieces_in_which_bytes_arrive_do_not_matter(data: bytes, cuts: list[int]) -> None:
    whole = LineReader(LIMIT)
    whole.feed(data)
    pieces, found = LineReader(LIMIT), []
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        pieces.feed(data[start:end])
        found += read_all(pieces)
    assert found == read_all(whole)
    assert pieces.inside == whole.inside
    assert pieces.rest() == whole.rest()
    assert not pieces.inside


@given(st.lists(st.binary(max_size=LIMIT).map(lambda line: line.replace(b"\n", b" ")), max_size=20))
def test_each_line_is_read_once(lines: list[bytes]) -> None:
    reader = LineReader(LIMIT)
    reader.feed(b"".join(line + b"\n" for line in lines))
    assert read_all(reader) == [parse(line) for line in lines]
    assert not reader.inside
    assert reader.rest() is None


def test_a_line_that_is_too_long_is_refused_at_once_and_costs_no_memory() -> None:
    reader = LineReader(LIMIT)
    reader.feed(b"1,ok\n17," + b"x" * 1000)
    assert read_all(reader) == [Line(b"1", "ok"), Line(b"17", refusal=Refusal.TOO_LONG)]
    for _ in range(1000):
        reader.feed(b"x" * 1000)
        assert read_all(reader) == []
        assert len(reader._buffer) <= 1000
    assert reader.inside
    reader.feed(b"x\n2,ok\n")
    assert read_all(reader) == [Line(b"2", "ok")]


def test_the_limit_is_exact() -> None:
    reader = LineReader(LIMIT)
    reader.feed(b"1," + b"x" * (LIMIT - 2) + b"\n" + b"2," + b"x" * (LIMIT - 1) + b"\n")
    assert [line.refusal for line in read_all(reader)] == [None, Refusal.TOO_LONG]


def test_a_long_line_without_a_number() -> None:
    reader = LineReader(LIMIT)
    reader.feed(b"x" * 1000 + b"\n")
    assert read_all(reader) == [Line(b"", refusal=Refusal.TOO_LONG)]


def test_the_rest_at_the_end() -> None:
    reader = LineReader(LIMIT)
    reader.feed(b"1,ok\n2,hyperten")
    assert read_all(reader) == [Line(b"1", "ok")]
    assert reader.rest() == Line(b"2", refusal=Refusal.INCOMPLETE)
