"""UMLS: MRCONSO.RRF of any length, to see whether memory grows with it."""

from __future__ import annotations

from pathlib import Path

from synthetic.making import Made, Names, Tick, statement
from synthetic.snomed import sctid

_PER_CONCEPT = 4
_LANGUAGES = ("ENG", "ENG", "ENG", "SPA")
_OTHERS = ("MSH", "NCI", "MDR", "CHV")


def make(folder: Path, lines: int, tick: Tick) -> Made:
    """Write so many lines below a folder: of every ten concepts four have a code of SNOMED CT, one of RxNorm."""
    place = folder / "2026AA"
    place.mkdir()
    made = Made(place, folder / "names.csv")
    tick("MRCONSO.RRF", lines)
    with (
        Names(made) as names,
        (place / "MRCONSO.RRF").open("w", encoding="utf-8", newline="", buffering=1 << 20) as file,
    ):
        for number in range(lines // _PER_CONCEPT):
            sab = "SNOMEDCT_US" if number % 10 < 4 else "RXNORM" if number % 10 == 4 else ""
            code = sctid(number + 100_000, "00") if sab == "SNOMEDCT_US" else str(number + 1)
            said = []
            for at, (language, text) in enumerate(zip(_LANGUAGES, statement(number), strict=False)):
                source = sab if sab and at < 2 else _OTHERS[at]
                suppressed = "O" if number % 20 == 19 and at == 2 else "N"
                file.write(
                    f"C{number:07}|{language}|P|L{number:07}|PF|S{number:07}|Y|A{number:07}{at}||||{source}|PT|{code}|{text}|"
                    f"0|{suppressed}||\n"
                )
                if language == "ENG" and suppressed == "N":
                    said.append(text)
            if sab:
                names.add(code, said)
                made.counts["concepts"] += 1
            if number % 10_000 == 9_999:
                tick("MRCONSO.RRF", -10_000 * _PER_CONCEPT)
    return made
