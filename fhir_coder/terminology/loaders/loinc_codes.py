"""What a LOINC code is, and what a term of LOINC is to us: the check digit, and the type by its class.

Check digit: Users' Guide, Annex C, https://loinc.org/kb/users-guide/calculating-mod-10-check-digits/
"""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import cache

from fhir_coder.errors import TableError
from fhir_coder.model import EntityType
from fhir_coder.tables import read_table
from fhir_coder.terminology.source import SourceFile

TypeOf = Callable[[str, str, str, str], tuple[str, str]]
"""From code, class, class type and scale to entity type and FHIR observation category; "" is none."""

# The publisher knows that the check digits of these are wrong (Annex C).
_KNOWN_WRONG = frozenset(
    "11491-6 11501-6 5895-7 5896-5 5897-3 5928-1 6028-3 6415-5 6580-7 6645-7 6646-5 6647-3 6648-1 6649-9".split()
)
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)  # sums of the digits of twice 0 to 9


def number_of(file: SourceFile, line: int, column: str, code: str) -> int:
    """Return a code as a number, without its hyphen. Raises `TerminologyError` where it is none."""
    digits, hyphen, check = code.partition("-")
    if not (
        hyphen and len(digits) < 9 and len(check) == 1 and (digits + check).isascii() and (digits + check).isdigit()
    ):
        raise file.error(f"{code!r} is not a LOINC code; was the file saved by Excel?", line, column)
    total = sum(map(int, digits[-2::-2])) + sum([_DOUBLED[int(digit)] for digit in digits[::-2]])
    if (total + int(check)) % 10 and code not in _KNOWN_WRONG:
        raise file.error(f"the check digit of {code} is wrong", line, column)
    return int(digits + check)


def types() -> TypeOf:
    """Return what gives type and observation category by `mappings/terminology/loinc_classes.csv`: the first row that
    fits by code, class (a pattern), class type and scale, where it states them."""
    name = "terminology/loinc_classes.csv"
    rows = read_table(name, ("code", "class", "class_type", "scale", "type", "category"))
    by_code = {row["code"]: (row["type"], row["category"]) for row in rows if row["code"]}
    by_class = [row for row in rows if not row["code"]]
    for number, row in enumerate(rows, 2):
        if row["type"] not in ("", *EntityType):
            raise TableError(f"mappings/{name}:{number}: {row['type']!r} is not an entity type")

    @cache
    def of_class(class_: str, class_type: str, scale: str) -> tuple[str, str]:
        for row in by_class:
            if (
                fnmatchcase(class_, row["class"] or "*")
                and row["class_type"] in ("", class_type)
                and row["scale"] in ("", scale)
            ):
                return row["type"], row["category"]
        return "", ""

    def type_of(code: str, class_: str, class_type: str, scale: str) -> tuple[str, str]:
        return by_code.get(code) or of_class(class_, class_type, scale)

    return type_of
