"""Frames between us and a reader process: eight bytes of length, big-endian, and as many bytes."""

from __future__ import annotations

from typing import BinaryIO

_LENGTH = 8


def write_frame(stream: BinaryIO, content: bytes) -> None:
    """Write one frame. Raises OSError when the other side is gone."""
    stream.write(len(content).to_bytes(_LENGTH, "big"))
    stream.write(content)
    stream.flush()


def read_frame(stream: BinaryIO, most: int | None = None) -> bytes | None:
    """Return the content of the next frame; None when the stream ends within it, or it is larger than `most`."""
    head = stream.read(_LENGTH)
    length = int.from_bytes(head, "big")
    if len(head) < _LENGTH or (most is not None and length > most):
        return None
    content = stream.read(length)
    return content if len(content) == length else None
