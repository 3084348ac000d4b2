"""The order file of ICD-10-CM: every code with its descriptions, in the order of the tabular list.

Fixed width, as icd10OrderFiles.pdf of the release says: order number 1-5, code without dot 7-13, at 15 a 1 for a code
valid for HIPAA transactions and a 0 for a header, short description 17-76, long description from 78.
"""

from __future__ import annotations

from collections.abc import Iterator

from fhir_coder.terminology.loaders.icd10cm_names import chapter, dotted, is_code, names, plain
from fhir_coder.terminology.release import Broader, Concept, Fact, Name
from fhir_coder.terminology.source import SourceFile

_SHORTEST = 78  # characters: the long description begins here
_GAPS = (5, 13, 15, 76)  # columns that are blank, from 0


def is_order_line(line: str) -> bool:
    """Tell whether a line has the columns of an order file, of ICD-10-CM or ICD-10-PCS."""
    return len(line) >= _SHORTEST and line[:5].isdigit() and line[14] in "01" and all(line[at] == " " for at in _GAPS)


def read(file: SourceFile, codes: dict[str, int]) -> Iterator[Fact]:
    """Yield the facts of an order file and enter its codes into `codes`, with the hash of their description.

    Raises `TerminologyError` where a line does not have the columns, a code stands twice or without its category, or
    the last line is a header.
    """
    above: list[tuple[str, str]] = []  # the headers above the line: code without dot, long description
    number = before = 0
    flag = "1"
    for number, line in file.lines():
        if not line.strip():
            continue
        bare, flag, order = _columns(file, number, line)
        if order <= before:
            raise file.error(f"the order number {order:05} does not follow {before:05}; is the file whole?", number, 1)
        before = order
        code, long = dotted(bare), line[77:].strip()
        while above and not bare.startswith(above[-1][0]):
            above.pop()
        if len(bare) > 3 and not above:
            raise file.error(f"the category of {code} is not before it; is the start of the file cut off?", number, 7)
        if code in codes:
            raise file.error(f"the code {code} stands there twice", number, 7)
        rules = chapter(bare[:3])
        if rules is None:
            raise file.error(f"{code} is in no chapter of mappings/terminology/icd10cm_chapters.csv", number, 7)
        codes[code] = hash(long.lower())
        yield Concept(code, long, rules.type, "active" if flag == "1" else "header")
        # A code extended by a 7th character is called as the code above it, plus what the character means. No 7th
        # character means "unspecified" alone.
        extended = len(bare) == 7 and long.startswith(above[-1][1] + ", ") and not long.endswith(", unspecified")
        yield from names(code, [long], rules.mention and not extended)
        short = line[16:76].strip()
        if short and short.lower() not in (long.lower(), plain(long).lower()):
            yield Name(code, short, "synonym", False)
        if above:
            yield Broader(code, dotted(above[-1][0]))
        above.append((bare, long))
    if not codes:
        raise file.error("the file is empty")
    if flag == "0":
        raise file.error("the last line is a header without codes; the file is cut off, fetch it again", number, 15)


def _columns(file: SourceFile, number: int, line: str) -> tuple[str, str, int]:
    """Return code, flag and order number, checked."""
    if len(line) < _SHORTEST:
        message = f"{len(line)} characters, but the long description starts at column 78; is the file cut off?"
        raise file.error(message, number, len(line) + 1)
    order = line[:5]
    if not (order.isascii() and order.isdigit()):
        raise file.error("there is no order number; this is not an order file of ICD-10-CM", number, 1)
    for gap in _GAPS:
        if line[gap] != " ":
            raise file.error("the column is not blank; this is not an order file of ICD-10-CM", number, gap + 1)
    bare = line[6:13].rstrip()
    if bare[:1].isdigit():
        message = f"{bare} is a code of ICD-10-PCS (procedures); import the order file of ICD-10-CM (diagnoses)"
        raise file.error(message, number, 7)
    if not is_code(bare):
        raise file.error(f"{bare!r} is not a code of ICD-10-CM", number, 7)
    if line[14] not in "01":
        raise file.error(f"{line[14]!r} is neither 0 (header) nor 1 (valid code)", number, 15)
    if not line[77:].strip():
        raise file.error("the long description is empty; is the file cut off?", number, 78)
    return bare, line[14], int(order)
