"""Text of marked-up documents, put together line by line: what HTML and the narrative of CDA have in common."""

from __future__ import annotations

import re

_SPACE = re.compile(r"[ \t\r\n\f\v\u00a0\u2000-\u200a\u202f\u205f\u3000]+")
_NARROW = re.compile(r"[\u00a0\u2000-\u200a\u202f\u205f\u3000]")
_SILENT = dict.fromkeys((0x00AD, 0x200B, 0xFEFF))  # soft hyphen, zero width space, byte order mark

CELL = " | "
# A value stands behind its test without a bar, and its unit behind the value, as they do in a line of results.
_VALUE = "  "
_NUMBER = re.compile(r"\s*[<>=≤≥+-]{0,2}\s*\d")
_UNIT = re.compile(r"\s*(?=\S*[/%]|[a-zµ])\S{1,12}\s*$")
ITEM = "- "


def cell_gap(before: str, following: str) -> str:
    """Return what to write between two cells of a row."""
    if _NUMBER.match(following) or (_NUMBER.match(before) and _UNIT.match(following)):
        return _VALUE
    return CELL


class Lines:
    """Collects text. White space is one space, but for breaks: of a line, or of a paragraph (an empty line)."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._break = 0  # line feeds due before the next text
        self._gap = ""  # what separates the next text from the last, on one line
        self._has_text = False

    def text(self, text: str, *, preformatted: bool = False) -> None:
        """Add running text."""
        text = text.translate(_SILENT)
        if preformatted:
            for number, line in enumerate(text.replace("\r\n", "\n").split("\n")):
                if number:
                    self.end_line()
                self._add(_NARROW.sub(" ", line))
            return
        text = _SPACE.sub(" ", text)
        if text.startswith(" ") and not self._gap and not self._ends_in_space():
            self._gap = " "
        words = text.strip(" ")
        if words:
            self._add(words)
            self._gap = " " if text.endswith(" ") else ""

    def end_line(self) -> None:
        """What follows stands on a new line."""
        self._break = max(self._break, 1)

    def end_paragraph(self) -> None:
        """What follows stands after an empty line."""
        self._break = 2

    def item(self) -> None:
        """What follows is an item of a list."""
        self.end_line()
        self._add(ITEM)

    def cell(self) -> None:
        """What follows is the next cell of a table's row."""
        self._gap = CELL

    def __str__(self) -> str:
        return "".join(self._parts)

    def _ends_in_space(self) -> bool:
        return bool(self._parts) and self._parts[-1].endswith(" ")

    def _add(self, text: str) -> None:
        if not text:
            return
        if self._break and self._has_text:
            self._parts.append("\n" * self._break)
        elif self._has_text:
            self._parts.append(cell_gap(self._parts[-1], text) if self._gap is CELL else self._gap)
        self._break, self._gap, self._has_text = 0, "", True
        self._parts.append(text)
