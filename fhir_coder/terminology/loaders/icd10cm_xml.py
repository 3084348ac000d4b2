"""Read the XML files of ICD-10-CM element by element, in bounded memory, knowing the line of each."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from fhir_coder.terminology.source import Readable, SourceFile

_BLOCK = 1 << 16  # bytes


def elements(file: SourceFile, root: str, parts: frozenset[str]) -> Iterator[tuple[str, Element, int]]:
    """Yield ("start" or "end", element, line) for every element.

    An element whose tag is in `parts` is dropped from its parent after its end was handled, so that memory stays small.
    Raises `TerminologyError` when the root element is not `root`, or the file is not well-formed or declares entities.
    """
    with file.open() as stream:
        lines = _Lines(stream)
        ancestors: list[Element] = []
        try:
            for event, element in iterparse(lines, events=("start", "end")):
                if event == "start":
                    if not ancestors and element.tag != root:
                        raise file.error(f"the root element is {element.tag}, not {root}; is this the right file?", 1)
                    ancestors.append(element)
                    yield event, element, lines.number
                else:
                    ancestors.pop()
                    yield event, element, lines.number
                    if element.tag in parts and ancestors:
                        ancestors[-1].remove(element)
        except ParseError as error:
            line, column = error.position
            message = f"not well-formed XML ({error}); is the file cut off or of another encoding? Fetch it again"
            raise file.error(message, line, column + 1) from error
        except DefusedXmlException as error:
            raise file.error("declares XML entities, which no release of ICD-10-CM does", lines.number) from error


class _Lines:
    """A stream that gives one line for each read: when an element comes, the last line read is the element's."""

    def __init__(self, stream: Readable) -> None:
        self.number = 0
        self._pieces = _pieces(stream)
        self._ended = True

    def read(self, _size: int = -1) -> bytes:
        piece = next(self._pieces, b"")
        self.number += self._ended and bool(piece)
        self._ended = piece.endswith(b"\n")
        return piece


def _pieces(stream: Readable) -> Iterator[bytes]:
    rest = b""
    while block := stream.read(_BLOCK):
        *whole, rest = (rest + block).splitlines(keepends=True)
        yield from whole
        if len(rest) > _BLOCK:  # a file without line ends comes in blocks
            yield rest
            rest = b""
    if rest:
        yield rest
