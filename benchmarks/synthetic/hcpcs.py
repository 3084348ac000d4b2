"""HCPCS Level II: the Alpha-Numeric file of CMS, fixed width, in its zip."""

from __future__ import annotations

from pathlib import Path
from textwrap import wrap

from synthetic import words
from synthetic.making import Made, Names, Tick, joined, pick, zipped

CODES = 8_700
_LETTERS = "ABCEGHJKLMPQRSTUV"
_SIZES = ("", *(f"size {number}" for number in range(1, 40)))
_ENDINGS = (
    "each",
    "per pair",
    "per month",
    "any type",
    "for use with a covered device, replacement only",
    "per 10 units",
)


def make(folder: Path, scale: float, tick: Tick) -> Made:
    """Write the release below a folder."""
    place = folder / "hcpcs"
    place.mkdir()
    made = Made(folder / "january-2026-alpha-numeric-hcpcs-file.zip", folder / "names.csv")
    per_letter = max(1, round(CODES * scale / len(_LETTERS)))
    step = 9_999 // per_letter
    tick("HCPCS", per_letter * len(_LETTERS))
    with Names(made) as names, (place / "HCPC2026_JAN_ANWEB.txt").open("w", encoding="cp1252", newline="") as stream:
        sequence = 0
        for modifier in ("A1", "GA", "LT", "RT"):
            sequence += 100
            stream.write(_record(modifier, sequence, "7", "A modifier", "A modifier", "", "C", ""))
        for number in range(per_letter * len(_LETTERS)):
            letter, at = _LETTERS[number // per_letter], number % per_letter
            code = f"{letter}{at * step:04}"
            long, short = _names(number)
            retired = number % 25 == 24
            xref = f"{letter}{(at - 1) * step:04}" if retired and at else ""
            pieces = wrap(long, 80)
            sequence += 100
            stream.write(_record(code, sequence, "3", pieces[0], short, xref, "C", "20241231" if retired else ""))
            for piece in pieces[1:]:
                sequence += 100
                stream.write(f"{code}{sequence % 100_000:05}4{piece:80}\r\n")
            names.add(code, [long] if short.lower() == long.lower() else [long, short])
            made.counts["concepts"] += 1
            made.counts["retired"] += retired
            made.counts["maps"] += bool(xref)
            made.counts["property"] += 4 + retired
            tick("HCPCS", -1)
    zipped(place, made.path)
    return made


def _names(number: int) -> tuple[str, str]:
    device, part, material, size, ending = pick(
        number, words.DEVICES, words.DEVICE_PARTS, words.MATERIALS, _SIZES, _ENDINGS
    )
    long = ", ".join(text for text in (joined(device), part, material, size, ending) if text)
    return long, f"{device[:14]} {part[:6]} {material[:5]}".strip()


def _record(
    code: str, sequence: int, kind: str, long: str, short: str, xref: str, coverage: str, terminated: str
) -> str:
    """Return the first line of a record, 320 characters."""
    line = [" "] * 320
    for first, text in (
        (1, f"{code:5}{sequence % 100_000:05}{kind}"),
        (12, long),
        (92, short),
        (205, xref),
        (230, coverage),
        (269, "20010101"),
        (277, "20010101"),
        (285, terminated),
        (293, "N"),
    ):
        line[first - 1 : first - 1 + len(text)] = text
    return "".join(line) + "\r\n"
