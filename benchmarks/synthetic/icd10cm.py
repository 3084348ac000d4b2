"""ICD-10-CM: order file, tabular list, Alphabetic Index, tables of neoplasms and of drugs, as CMS ships them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TextIO
from xml.sax.saxutils import escape

from synthetic import words
from synthetic.making import Made, Names, Tick, statement, substance

NAMES = 560_000
_DRUGS = 4_800
_LETTERS = "ABCDEFGHIJKLMNOPQRSTVWXYZ"
_RANGES = {
    "D": (0, 89),
    "E": (0, 89),
    "F": (1, 99),
    "H": (0, 95),
    "K": (0, 95),
    "P": (0, 96),
    "T": (0, 88),
    "X": (0, 83),
}
_INJURIES = "STVWXY"
_SEVENTH = (("A", "initial encounter"), ("D", "subsequent encounter"), ("S", "sequela"))
_SHORT = {
    "unspecified": "unsp",
    "fracture": "fx",
    "initial encounter": "init",
    "subsequent encounter": "subs",
    "left": "l",
    "right": "r",
    "bilateral": "bi",
    "due to": "d/t",
    "chronic": "chr",
    "carcinoma": "ca",
    "disease": "dis",
}
_ADJECTIVES = {
    "fibrosis": "fibrotic",
    "atrophy": "atrophic",
    "stenosis": "stenotic",
    "necrosis": "necrotic",
    "ischemia": "ischemic",
    "thrombosis": "thrombotic",
    "edema": "edematous",
    "cirrhosis": "cirrhotic",
    "dysplasia": "dysplastic",
    "ulcer": "ulcerated",
}
# How a column of the two tables is headed, and what that says of the row.
_DRUG_COLUMNS = {
    "Poisoning Accidental (Unintentional)": "accidental poisoning by",
    "Poisoning Intentional Self-harm": "intentional self-harm poisoning by",
    "Poisoning Assault": "assault poisoning by",
    "Poisoning Undetermined": "undetermined intent poisoning by",
    "Adverse effect": "adverse effect of",
    "Underdosing": "underdosing of",
}
_NEOPLASM_COLUMNS = {
    "Malignant Primary": "primary malignant neoplasm of",
    "Malignant Secondary": "secondary malignant neoplasm of",
    "Ca in situ": "carcinoma in situ of",
    "Benign": "benign neoplasm of",
    "Uncertain Behavior": "neoplasm of uncertain behavior of",
    "Unspecified Behavior": "neoplasm of unspecified behavior of",
}


class Code(NamedTuple):
    """A code without its dot, and how it is called; `number` is that of its statement."""

    bare: str
    billable: bool
    text: str
    said: str  # the text without "unspecified"
    number: int

    @property
    def dotted(self) -> str:
        """The code as it is written."""
        return f"{self.bare[:3]}.{self.bare[3:]}" if len(self.bare) > 3 else self.bare


def categories(scale: float) -> list[str]:
    """Return the codes of three characters, evenly taken from all chapters."""
    every = []
    for letter in _LETTERS:
        first, last = _RANGES.get(letter, (0, 99))
        every += [f"{letter}{number:02}" for number in range(first, last + 1)]
    step = max(1, round(1 / scale))
    kept = [category for at, category in enumerate(every) if at % step == 0]
    return sorted({*kept, "T36", "C00"})  # what the tables lead to


def codes(scale: float) -> Iterator[Code]:
    """Yield all codes in order."""
    number = 0
    for category in categories(scale):
        for bare, billable in _block(category):
            text = said = statement(number)[0]
            if billable and number % 6 == 5:
                text = f"{said}, unspecified"
            yield Code(bare, billable, text, said, number)
            if len(bare) < 7 and _has_seventh(bare):
                for character, meaning in _SEVENTH:
                    longer = f"{text}, {meaning}"
                    yield Code(bare.ljust(6, "X") + character, True, longer, longer, number)
            number += 1


def _has_seventh(bare: str) -> bool:
    return bare[0] in _INJURIES and len(bare) == (6 if _is_drug(bare) else 5)


def _is_drug(bare: str) -> bool:
    return "T36" <= bare[:3] <= "T50"


def _block(category: str) -> Iterator[tuple[str, bool]]:
    """Yield the codes of a category without 7th characters, and whether they are billable."""
    yield category, False
    if category[0] in _INJURIES:
        for fourth in "0123":
            yield f"{category}{fourth}", False
            if _is_drug(category):
                yield f"{category}{fourth}X", False
                yield from ((f"{category}{fourth}X{sixth}", False) for sixth in "123456")
            else:
                yield from ((f"{category}{fourth}{fifth}", False) for fifth in "0129")
        return
    for fourth in "0123456789":
        split = fourth in "13579"
        yield f"{category}{fourth}", not split
        if split:
            yield from ((f"{category}{fourth}{fifth}", True) for fifth in "0129")


def make(folder: Path, scale: float, tick: Tick) -> Made:
    """Write the release below a folder."""
    place = folder / "ICD-10-CM April 2026"
    place.mkdir()
    made = Made(place, folder / "names.csv")
    with Names(made) as names:
        every = list(codes(scale))
        tick("order file", len(every))
        with (place / "icd10cm-order-April-2026.txt").open("w", encoding="ascii", newline="") as stream:
            for order, code in enumerate(every, 1):
                short = _short(code.text)
                stream.write(f"{order:05} {code.bare:7} {code.billable:d} {short:60} {code.text}\r\n")
                made.counts["concepts"] += 1
                made.counts["headers"] += not code.billable
                made.counts["broader"] += len(code.bare) > 3
                texts = [code.text, code.said]
                if short.lower() not in (code.text.lower(), code.said.lower()):
                    texts.append(short)
                names.again(code.dotted, texts)
                tick("order file", -1)
        with (place / "icd10cm-tabular-April-1-2026.xml").open("w", encoding="utf-8") as stream:
            _tabular(stream, every, names, made, tick)
        with (place / "icd10cm-neoplasm-April-1-2026.xml").open("w", encoding="utf-8") as stream:
            _neoplasms(stream, every, names)
        with (place / "icd10cm-drug-April-1-2026.xml").open("w", encoding="utf-8") as stream:
            _drugs(stream, every, names, max(6, int(_DRUGS * scale)), tick)
        with (place / "icd10cm-index-April-1-2026.xml").open("w", encoding="utf-8") as stream:
            _index(stream, every, names, made, int(NAMES * scale), tick)
    return made


def _short(text: str) -> str:
    for long, short in _SHORT.items():
        text = text.replace(long, short)
    return text[:60].strip()


def _tabular(stream: TextIO, every: list[Code], names: Names, made: Made, tick: Tick) -> None:
    stream.write('<?xml version="1.0" encoding="utf-8"?>\n<ICD10CM.tabular>\n<version>2026</version>\n')
    tick("tabular list", len(every))
    open_: list[str] = []
    chapter = ""

    def close(down_to: str) -> None:
        while open_ and not down_to.startswith(open_[-1]):
            open_.pop()
            stream.write("</diag>\n")

    for code in every:
        tick("tabular list", -1)
        if len(code.bare) == 7:
            continue
        if code.bare[0] != chapter:
            close("-")
            stream.write("</section>\n</chapter>\n" if chapter else "")
            chapter = code.bare[0]
            stream.write(f"<chapter>\n<name>{ord(chapter) - 64}</name>\n<desc>Chapter of {chapter}</desc>\n")
            stream.write(f"<excludes2>\n<note>what is told elsewhere ({chapter}99)</note>\n</excludes2>\n")
            stream.write(f'<section id="{chapter}">\n<desc>Section of {chapter}</desc>\n')
        close(code.bare)
        open_.append(code.bare)
        stream.write(f"<diag>\n<name>{code.dotted}</name>\n<desc>{escape(code.text)}</desc>\n")
        if len(code.bare) == 3:
            made.counts["property"] += 3
            stream.write(
                "<excludes1>\n<note>another thing (A00.-)</note>\n<note>a third thing (B00)</note>\n</excludes1>\n"
            )
            if code.bare[0] in _INJURIES:
                stream.write("<sevenChrNote>\n<note>Add the 7th character</note>\n</sevenChrNote>\n<sevenChrDef>\n")
                made.counts["property"] += 1
                for character, meaning in _SEVENTH:
                    stream.write(f'<extension char="{character}">{meaning}</extension>\n')
                stream.write("</sevenChrDef>\n")
        terms = statement(code.number)[1 : 1 + code.number % 5]
        if terms:
            marked = [f"{term} NOS" if number % 2 else term for number, term in enumerate(terms, code.number)]
            stream.write("<inclusionTerm>\n")
            stream.writelines(f"<note>{escape(term)}</note>\n" for term in marked)
            stream.write("</inclusionTerm>\n")
            names.again(code.dotted, [*marked, *terms])
    close("-")
    stream.write("</section>\n</chapter>\n</ICD10CM.tabular>\n")


def _head(stream: TextIO, title: str, columns: Iterable[str] = ()) -> None:
    stream.write(
        f'<?xml version="1.0" encoding="utf-8"?>\n<ICD10CM.index>\n<version>2026</version>\n<title>{title}</title>\n'
    )
    if columns:
        stream.write('<indexHeading>\n<head col="1">Substance</head>\n')
        stream.writelines(f'<head col="{at}">{column}</head>\n' for at, column in enumerate(columns, 2))
        stream.write("</indexHeading>\n")


def _neoplasms(stream: TextIO, every: list[Code], names: Names) -> None:
    _head(stream, "ICD-10-CM TABLE of NEOPLASMS", _NEOPLASM_COLUMNS)
    stream.write("<letter>\n<title>N</title>\n<mainTerm>\n<title>Neoplasm, neoplastic</title>\n")
    leaves = [code.dotted for code in every if code.billable and code.bare[0] == "C"]
    for row, site in enumerate(words.SITES):
        stream.write(f'<term level="1">\n<title>{site}</title>\n')
        for column, phrase in enumerate(_NEOPLASM_COLUMNS.values(), 2):
            code = leaves[(row * 6 + column) % len(leaves)]
            stream.write(f'<cell col="{column}">{code}</cell>\n')
            names.again(code, [f"{phrase} {site}"])
        stream.write("</term>\n")
    stream.write("</mainTerm>\n</letter>\n</ICD10CM.index>\n")


def _drugs(stream: TextIO, every: list[Code], names: Names, count: int, tick: Tick) -> None:
    _head(stream, "ICD-10-CM TABLE of DRUGS and CHEMICALS", _DRUG_COLUMNS)
    stems = [code.dotted[:-1] for code in every if _is_drug(code.bare) and len(code.bare) == 6 and code.bare[5] == "1"]
    stream.write("<letter>\n<title>A</title>\n")
    tick("table of drugs", count)
    for number in range(count):
        stream.write(f"<mainTerm>\n<title>{substance(number).capitalize()}</title>\n")
        for column, phrase in enumerate(_DRUG_COLUMNS.values(), 1):
            code = f"{stems[number % len(stems)]}{column}"
            stream.write(f'<cell col="{column + 1}">{code}</cell>\n')
            names.again(code, [f"{phrase} {substance(number).capitalize()}"])
        stream.write("</mainTerm>\n")
        tick("table of drugs", -1)
    stream.write("</letter>\n</ICD10CM.index>\n")


def _index(stream: TextIO, every: list[Code], names: Names, made: Made, target: int, tick: Tick) -> None:
    """Write entries until the release has the names that it is to have."""
    _head(stream, "ICD-10-CM INDEX TO DISEASES and INJURIES")
    leaves = [code.dotted for code in every if code.billable and code.bare[0] not in _INJURIES + "Z"]
    at = 0

    def next_code() -> str:
        nonlocal at
        at += 1
        return leaves[at * 7919 % len(leaves)]

    mains = sorted(words.DISORDERS)
    tick("index", target - made.counts["names"])
    letter = ""
    for position, disorder in enumerate(mains):
        main = disorder.capitalize()
        forms = [main, _ADJECTIVES[disorder]] if disorder in _ADJECTIVES else [main]
        if main[0] != letter:
            stream.write("</letter>\n" if letter else "")
            letter = main[0]
            stream.write(f"<letter>\n<title>{letter}</title>\n")
        code = next_code()
        stream.write(
            f"<mainTerm>\n<title>{', '.join(forms)}<nemod>(acute) (due to)</nemod></title>\n<code>{code}</code>\n"
        )
        # Of the modifiers only those are said that do not lead over to the next term.
        names.again(code, [*forms, f"{main} acute"])
        share = (target - made.counts["names"]) / (len(mains) - position)
        wanted = made.counts["names"] + share
        before = made.counts["names"]
        for row, site in enumerate(words.SITES):
            if made.counts["names"] >= wanted:
                break
            code = next_code()
            nemod = "<nemod>(left)</nemod>" if row % 3 == 0 else ""
            stream.write(
                f'<term level="1">\n<title>{site}{nemod}{" NEC" if row % 7 == 0 else ""}</title>\n<code>{code}</code>\n'
            )
            # The "NEC" that stands behind a modifier is not at the title's end without it.
            names.again(code, [f"{site} {form}" for form in forms])
            if nemod:
                names.again(code, [f"{site} left {main}"])
            deep = max(1, round(share / len(words.SITES)))
            for level in range(deep):
                if made.counts["names"] >= wanted:
                    break
                term = words.QUALIFIERS[(level + row) % len(words.QUALIFIERS)]
                if level % 4 == 3:
                    term = f"due to {words.CAUSES[level // 4 % len(words.CAUSES)]}"
                code = next_code()
                stream.write(f'<term level="2">\n<title>{term}</title>\n<code>{code}</code>\n</term>\n')
                behind = term.startswith(("due to", "secondary"))  # such words go behind the main term
                names.again(code, [f"{site} {form} {term}" if behind else f"{site} {term} {form}" for form in forms])
            stream.write("</term>\n")
        stream.write("</mainTerm>\n")
        tick("index", before - made.counts["names"])
    stream.write("</letter>\n</ICD10CM.index>\n")
