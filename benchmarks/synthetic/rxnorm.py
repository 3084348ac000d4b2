"""RxNorm in RRF, as the zip of the full release has it, with the rows of other sources that it is full of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from synthetic import words
from synthetic.making import Made, Names, Tick, brand, substance, zipped

_DATE = "03022026"
_OTHERS = ("MTHSPL", "NDDF", "VANDF", "MMSL", "GS", "MMX", "ATC", "SNOMEDCT_US")
_STRENGTHS = ("0.5", "1", "2.5", "5", "10", "12.5", "20", "25", "40", "50", "75", "100", "200", "250", "500", "1000")
# So many of each kind of concept; with their synonyms they have 270,000 names.
_KINDS = {
    "IN": 14_000,
    "PIN": 4_000,
    "MIN": 4_000,
    "BN": 12_000,
    "SCDC": 36_000,
    "SCDF": 18_000,
    "SCDG": 10_000,
    "SCD": 44_000,
    "SBDC": 22_000,
    "SBDF": 16_000,
    "SBD": 26_000,
}
_SYNONYMS = {"IN": 2, "SCD": 1, "SBD": 2}  # one of so many has one, or more
# Most rows of the full release are of other sources: more than two thirds of the names, nearly all of the rest.
_OTHER_ATOMS, _OTHER_RELATIONS, _OTHER_ATTRIBUTES = 700_000, 5_000_000, 6_000_000
_NDCS = 250_000  # attributes of RxNorm itself that are not kept
_INVERSE = {
    "isa": "inverse_isa",
    "tradename_of": "has_tradename",
    "form_of": "has_form",
    "consists_of": "constitutes",
    "has_ingredient": "ingredient_of",
    "has_precise_ingredient": "precise_ingredient_of",
    "has_dose_form": "dose_form_of",
    "has_part": "part_of",
}
_GROUPS = ("Pill", "Oral Product", "Injectable Product", "Topical Product", "Inhalant Product", "Rectal Product")

_Place = tuple[str, int]  # a kind, and a number of its


class _Release:
    """The numbers of the concepts: a code for every kind and place."""

    def __init__(self, scale: float) -> None:
        self.count = {kind: max(20, int(count * scale)) for kind, count in _KINDS.items()}
        self.count |= {"DF": len(words.DOSE_FORMS), "DFG": len(_GROUPS)}
        self._start: dict[str, int] = {}
        at = 1000
        for kind, count in self.count.items():
            self._start[kind] = at
            at += count
        self.end = at

    def code(self, kind: str, number: int) -> int:
        """Return the RXCUI of a concept of a kind."""
        return self._start[kind] + number % self.count[kind]

    def name(self, kind: str, number: int) -> str:
        """Return how a concept is called."""
        number %= self.count[kind]
        match kind:
            case "IN":
                return substance(number)
            case "PIN":
                return f"{substance(number)} {words.SALTS[number % len(words.SALTS)]}"
            case "MIN":
                return " / ".join(sorted(substance(part) for part in self.parts(number)))
            case "BN":
                return brand(number)
            case "SCDC":
                strength = number // self.count["IN"] * 5 + number % 5
                return f"{substance(number % self.count['IN'])} {_STRENGTHS[strength % len(_STRENGTHS)]} MG"
            case "SBDC":
                return f"{self.name('SCDC', number)} [{brand(number)}]"
            case "SCDF":
                return f"{substance(number % self.count['IN'])} {self.form(number)}"
            case "SBDF":
                return f"{self.name('SCDF', number)} [{brand(number)}]"
            case "SCDG":
                return f"{substance(number % self.count['IN'])} {_GROUPS[number // self.count['IN'] % len(_GROUPS)]}"
            case "SCD":
                return f"{' / '.join(self.name('SCDC', part) for part in self.components(number))} {self.form(number)}"
            case "SBD":
                return f"{self.name('SCD', number)} [{self.name('BN', number)}]"
            case "DF":
                return words.DOSE_FORMS[number]
            case _:
                return _GROUPS[number]

    def form(self, number: int) -> str:
        """Return the dose form of a drug."""
        return words.DOSE_FORMS[number % len(words.DOSE_FORMS)]

    def parts(self, number: int) -> list[int]:
        """Return the two ingredients of a combination."""
        return [number % self.count["IN"], (number * 3 + 1) % self.count["IN"]]

    def components(self, number: int) -> list[int]:
        """Return the components of a clinical drug: one, or for every fourth drug two of other ingredients."""
        first = number % self.count["SCDC"]
        second = (number * 5 + 3) % self.count["SCDC"]
        if number % 4 or (first - second) % self.count["IN"] == 0:
            return [first]
        return [first, second]

    def is_retired(self, kind: str, number: int) -> bool:
        """Tell whether a concept is obsolete."""
        return kind in ("SCD", "SBD") and number % 10 == 9


def make(folder: Path, scale: float, tick: Tick) -> Made:
    """Write the release below a folder."""
    place = folder / "rxnorm"
    rrf = place / "rrf"
    rrf.mkdir(parents=True)
    made = Made(folder / f"RxNorm_full_{_DATE}.zip", folder / "names.csv")
    release = _Release(scale)
    with Names(made) as names:
        _atoms(rrf / "RXNCONSO.RRF", release, scale, made, names, tick)
    _relations(rrf / "RXNREL.RRF", release, scale, made, tick)
    _attributes(rrf / "RXNSAT.RRF", release, scale, made, tick)
    zipped(place, made.path)
    return made


def _atoms(path: Path, release: _Release, scale: float, made: Made, names: Names, tick: Tick) -> None:
    others = int(_OTHER_ATOMS * scale) / release.end
    tick("RXNCONSO", release.end)
    written = 0
    with path.open("w", encoding="utf-8", newline="", buffering=1 << 20) as stream:

        def atom(code: int, sab: str, tty: str, text: str, suppress: str = "N") -> None:
            stream.write(f"{code}|ENG||||||{code}9||{code}||{sab}|{tty}|{code}|{text}||{suppress}|4096|\n")

        for kind, count in release.count.items():
            for number in range(count):
                code, text = release.code(kind, number), release.name(kind, number)
                retired = release.is_retired(kind, number)
                atom(code, "RXNORM", kind, text, "O" if retired else "N")
                said = [text]
                made.counts["concepts"] += 1
                made.counts["retired"] += retired
                made.counts["property"] += 1  # TTY
                every = _SYNONYMS.get(kind)
                if every and number % every == 0:
                    if kind == "IN":
                        said.append(text[:-4] + text[-4:].upper())
                        atom(code, "RXNORM", "TMSY", said[-1])
                    else:
                        said.append(text.replace(" Oral ", " ").replace("Injectable", "for injection").lower())
                        atom(code, "RXNORM", "PSN", said[-1])
                names.add(str(code), said)
                while written < (code - 999) * others:
                    atom(code, _OTHERS[written % len(_OTHERS)], "SU", f"{text} ({written})".upper())
                    written += 1
                if number % 1000 == 999:
                    tick("RXNCONSO", -1000)


def _relations(path: Path, release: _Release, scale: float, made: Made, tick: Tick) -> None:
    """Write what the drugs are made of, each statement in both directions."""
    counts = made.counts
    with path.open("w", encoding="utf-8", newline="", buffering=1 << 20) as stream:

        def relation(source: _Place, rela: str, target: _Place) -> None:
            first, second = release.code(*source), release.code(*target)
            for one, name, two in ((first, rela, second), (second, _INVERSE[rela], first)):
                stream.write(f"{two}||CUI|RO|{one}||CUI|{name}|1||RXNORM||||N|4096|\n")

        tick("RXNREL", release.end)
        for number in range(release.count["DF"]):
            relation(("DF", number), "isa", ("DFG", number))
            counts["broader"] += 1
        for kind, count in release.count.items():
            for number in range(count):
                if number % 1000 == 999:
                    tick("RXNREL", -1000)
                one = (kind, number)
                match kind:
                    case "PIN":
                        relation(one, "form_of", ("IN", number))
                        counts["maps"] += 2
                    case "MIN":
                        for part in release.parts(number):
                            relation(one, "has_part", ("IN", part))
                        counts["maps"] += len({release.code("IN", part) for part in release.parts(number)})
                    case "BN":
                        relation(one, "tradename_of", ("IN", number))
                        counts["maps"] += 1
                    case "SCDC":
                        relation(one, "has_ingredient", ("IN", number % release.count["IN"]))
                        if number % 10 == 0:
                            relation(one, "has_precise_ingredient", ("PIN", number))
                    case "SCDF":
                        relation(one, "isa", ("SCDG", number))
                        counts["broader"] += 1
                    case "SCD":
                        relation(one, "isa", ("SCDF", number))
                        relation(one, "has_dose_form", ("DF", number))
                        counts["broader"] += 1
                        _made_of(one, number, release, relation, made)
                    case "SBDC" | "SBDF":
                        relation(one, "tradename_of", ("SCDC" if kind == "SBDC" else "SCDF", number))
                    case "SBD":
                        relation(one, "tradename_of", ("SCD", number))
                        relation(one, "has_ingredient", ("BN", number))
                        relation(one, "consists_of", ("SBDC", number))
                        relation(one, "has_dose_form", ("DF", number))
                        counts["maps"] += 1
                        _made_of(one, number, release, relation, made)
        others = int(_OTHER_RELATIONS * scale)
        tick("RXNREL, other sources", others)
        for number in range(others):
            code = 1000 + number % (release.end - 1000)
            sab = _OTHERS[number % len(_OTHERS)]
            stream.write(f"|{number}|AUI|RO||{code}|AUI|has_active_ingredient|{number}||{sab}||||N|4096|\n")
            if number % 1000 == 999:
                tick("RXNREL, other sources", -1000)


def _made_of(
    one: _Place, number: int, release: _Release, relation: Callable[[_Place, str, _Place], None], made: Made
) -> None:
    """Write the components of a drug, and count what follows from them."""
    components = release.components(number)
    for part in components:
        relation(one, "consists_of", ("SCDC", part))
    made.counts["maps"] += len(components)  # each has another ingredient
    made.counts["property"] += 1  # the group of its dose form
    made.counts["property"] += len({release.code("PIN", part) for part in components if part % 10 == 0})
    made.counts["clinical drugs"] += not release.is_retired(*one)


def _attributes(path: Path, release: _Release, scale: float, made: Made, tick: Tick) -> None:
    with path.open("w", encoding="utf-8", newline="", buffering=1 << 20) as stream:

        def attribute(code: int, sab: str, name: str, value: str) -> None:
            stream.write(f"{code}|||{code}9|AUI|{code}|||{name}|{sab}|{value}|N|4096|\n")

        for number in range(release.count["SCDC"]):
            attribute(
                release.code("SCDC", number),
                "RXNORM",
                "RXN_STRENGTH",
                " ".join(release.name("SCDC", number).split()[-2:]),
            )
        for number in range(release.count["SCD"]):
            attribute(release.code("SCD", number), "RXNORM", "RXN_HUMAN_DRUG", "US")
        made.counts["property"] += release.count["SCDC"] + release.count["SCD"]
        others = int(_OTHER_ATTRIBUTES * scale)
        own = int(_NDCS * scale)
        tick("RXNSAT", others + own)
        for number in range(others + own):
            code = 1000 + number % (release.end - 1000)
            if number < own:
                attribute(code, "RXNORM", "NDC", f"{number:011}")
            else:
                attribute(code, _OTHERS[number % len(_OTHERS)], "SPL_SET_ID", f"{number:032x}")
            if number % 1000 == 999:
                tick("RXNSAT", -1000)
