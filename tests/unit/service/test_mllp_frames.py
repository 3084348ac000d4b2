"""MLLP frames out of a stream of bytes, however it is cut."""

from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.service.mllp import END, START, Frame, FrameReader


def frame(content: bytes) -> bytes:
    return START + content + END


def test_two_messages_in_one_packet() -> None:
    assert FrameReader(100).feed(frame(b"a") + frame(b"b")) == [Frame(b"a"), Frame(b"b")]


def test_garbage_between_frames_is_dropped() -> None:
    assert FrameReader(100).feed(b"\r\nhello" + frame(b"a") + b"\n" + frame(b"b")) == [Frame(b"a"), Frame(b"b")]


def test_a_lone_end_byte_is_content() -> None:
    assert FrameReader(100).feed(frame(b"a\x1cb\rc\x0bd")) == [Frame(b"a\x1cb\rc\x0bd")]


def test_a_frame_begun_anew_replaces_the_one_that_broke_off() -> None:
    assert FrameReader(100).feed(START + b"MSH|half" + frame(b"MSH|whole")) == [Frame(b"MSH|whole")]


def test_a_frame_that_is_too_long_keeps_its_head_and_bounded_memory() -> None:
    reader = FrameReader(10_000)
    assert reader.feed(START + b"MSH|") == []
    for _ in range(100):
        assert reader.feed(b"x" * 10_000) == []
        assert len(reader._buffer) <= 20_001
    (too_long,) = reader.feed(END)
    assert too_long.too_long
    assert too_long.content.startswith(b"MSH|x")
    assert len(too_long.content) <= 4096
    assert reader.feed(frame(b"b")) == [Frame(b"b")]


def test_the_limit_itself_is_allowed() -> None:
    for step in (1, 100):
        reader = FrameReader(10)
        data = frame(b"x" * 10) + frame(b"y" * 11) + frame(b"z")
        found = [got for start in range(0, len(data), step) for got in reader.feed(data[start : start + step])]
        assert [(got.content[:1], got.too_long) for got in found] == [(b"x", False), (b"y", True), (b"z", False)]


CONTENT = st.binary(max_size=40).filter(lambda raw: END not in raw and not raw.endswith(b"\x1c") and START not in raw)


@given(st.lists(CONTENT, max_size=5), st.lists(st.integers(1, 20), min_size=1))
def test_frames_survive_any_cut(contents: list[bytes], sizes: list[int]) -> None:
    data = b"".join(map(frame, contents))
    reader = FrameReader(100)
    found: list[Frame] = []
    position = turn = 0
    while position < len(data):
        size = sizes[turn % len(sizes)]
        found += reader.feed(data[position : position + size])
        position, turn = position + size, turn + 1
    assert found == [Frame(content) for content in contents]


@given(st.lists(st.sampled_from([b"\x0b", b"\x1c", b"\r", b"a", b"MSH|"])).map(b"".join))
def test_memory_is_bounded_whatever_comes(data: bytes) -> None:
    reader = FrameReader(5)
    for byte in data:
        reader.feed(bytes([byte]))
        assert len(reader._buffer) <= 4096 + 2
