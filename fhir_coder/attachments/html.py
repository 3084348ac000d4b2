"""text/html -> text.

The parser of the standard library reads a stream of tags: it builds no tree, so that HTML nested 100,000 deep keeps its
text. (lxml gives an empty text for it, and no error.)
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

from fhir_coder.attachments.charset import decode_attachment, known_charset, marked_charset
from fhir_coder.attachments.extracted import Extracted, Limits
from fhir_coder.attachments.lines import Lines

_LINES = frozenset(
    "address article aside blockquote body br center dd details dialog dir div dl dt fieldset figcaption figure footer "
    "form header hr html legend li main menu nav ol option optgroup search section select summary table tbody tfoot "
    "thead tr ul".split()
)
_PARAGRAPHS = frozenset("p h1 h2 h3 h4 h5 h6 caption pre listing".split())
_CELLS = frozenset({"td", "th"})
# Not shown, or struck out: "contents that are no longer accurate" (https://html.spec.whatwg.org/#the-s-element).
_LEFT_OUT = frozenset({"script", "style", "title", "template", "del", "s", "strike"})
_META = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{1,40})", re.IGNORECASE)
_META_WITHIN = 1024  # bytes (https://html.spec.whatwg.org/#determining-the-character-encoding)


def read_html(raw: bytes, charset: str | None, limits: Limits) -> Extracted:  # noqa: ARG001 - the readers' signature
    """Return the text. Without a stated charset, that of a byte order mark or of <meta> counts, else UTF-8.

    Raises `InputError` when the bytes are of another charset.
    """
    text = decode_attachment(raw, charset or _own_charset(raw), place="")
    reader = _read(text, _LEFT_OUT)
    if reader.unclosed:
        # What is never closed would leave out the rest of the note.
        reader = _read(text, _LEFT_OUT - reader.unclosed)
    return Extracted(text=str(reader.lines))


def _read(text: str, left_out: frozenset[str]) -> _Reader:
    reader = _Reader(left_out)
    reader.feed(text)
    reader.close()
    return reader


def _own_charset(raw: bytes) -> str:
    stated = _META.search(raw, 0, _META_WITHIN)
    if stated is None or raw.startswith(b"\xef\xbb\xbf"):
        return marked_charset(raw)
    charset = known_charset(stated[1].decode("ascii"), place="")
    # Who wrote UTF-16 in ASCII letters meant UTF-8, and who wrote ASCII or Latin-1 meant windows-1252.
    return {"iso8859-1": "cp1252", "ascii": "cp1252"}.get(charset, "utf-8" if charset.startswith("utf") else charset)


class _Reader(HTMLParser):
    """Counts what it is inside of, instead of keeping a stack of elements."""

    def __init__(self, left_out: frozenset[str]) -> None:
        super().__init__(convert_charrefs=True)
        self.lines = Lines()
        self._names = left_out
        self._inside = dict.fromkeys(left_out | {"pre"}, 0)
        self._left_out = 0  # how many of these elements it is inside of
        self._is_first_cell = True

    @property
    def unclosed(self) -> frozenset[str]:
        """The elements that were left out and never ended. (Of a script nobody sees more than its end.)"""
        return frozenset(name for name in self._names - {"script", "style"} if self._inside[name])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if tag in self._inside:
            self._inside[tag] += 1
            self._left_out += tag in self._names
        if tag == "li":
            self.lines.item()
        elif tag in _CELLS:
            if not self._is_first_cell:
                self.lines.cell()
            self._is_first_cell = False
        else:
            self._break(tag)
        if tag == "tr":
            self._is_first_cell = True

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self._break(tag)  # <p/>, <s/>: nothing is inside

    def handle_endtag(self, tag: str) -> None:
        if self._inside.get(tag):
            self._inside[tag] -= 1
            self._left_out -= tag in self._names
        self._break(tag)

    def handle_data(self, data: str) -> None:
        if not self._left_out:
            self.lines.text(data, preformatted=bool(self._inside["pre"]))

    def _break(self, tag: str) -> None:
        if tag in _PARAGRAPHS:
            self.lines.end_paragraph()
        elif tag in _LINES:
            self.lines.end_line()
