"""gzip -> what it holds, never more than the limit: a bomb of 10 MB expands to 10 GB."""

from __future__ import annotations

import zlib

from fhir_coder.errors import InputError

MAGIC = b"\x1f\x8b"
_GZIP = 16 + zlib.MAX_WBITS  # zlib's way to say: with the header of gzip


def unzipped(raw: bytes, most: int, *, place: str) -> bytes:
    """Return the bytes of all members. Raises `InputError` when they are damaged, cut off, or more than `most`."""
    result = bytearray()
    rest = raw
    try:
        while rest.startswith(MAGIC):
            member = zlib.decompressobj(_GZIP)
            result += member.decompress(rest, most + 1 - len(result))
            if len(result) > most:
                raise InputError(
                    f"the attachment unpacks to more than the setting max_body_bytes ({most}) allows",
                    place=place,
                    code="too-long",
                )
            if not member.eof:
                raise InputError("the gzip data is cut off; send it whole", place=place, code="value")
            rest = member.unused_data
    except zlib.error:
        raise InputError("the gzip data is damaged; send it again", place=place, code="value") from None
    return bytes(result)
