"""RxTerms, the interface terminology that the NLM derives from RxNorm, as a release of RxNorm.

    RxTerms202306.txt              the drugs: names, dose form, strength, brand
    RxTermsIngredients202306.txt   their ingredients

https://lhncbc.nlm.nih.gov/MOR/RxTerms/, "RxTerms File Structure". Older editions have fewer columns. RxTermsArchive is
not read. RxTerms has no codes for brands and combinations of ingredients: a brand name becomes a name of the
ingredient where all its drugs have this ingredient only. The file of the ingredients may be imported alone; what
they are called is then all that is known.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from fhir_coder.errors import TerminologyError
from fhir_coder.model import RXNORM, EntityType
from fhir_coder.terminology.loaders.rxnorm import is_spoken, term_types
from fhir_coder.terminology.release import Concept, Drug, Fact, Import, MapRow, Name, Options, Property, Release
from fhir_coder.terminology.rrf import rxcui
from fhir_coder.terminology.source import Source, SourceFile
from fhir_coder.terminology.strength import normal_strength

NAME = "rxterms"
TITLE = "RxTerms: RxTermsYYYYMM.txt and RxTermsIngredientsYYYYMM.txt"

_ORIGIN = "rxterms"
_DATED = re.compile(r"(?i)rxterms(?:ingredients)?((?:19|20)\d\d)(0[1-9]|1[0-2])\.txt")
_BRACKETS = re.compile(r"\[([^\[\]]+)\]$")  # the brand at the end of a full name
_DRUGS = "rxterms[0-9]*.txt"
_INGREDIENTS = "rxtermsingredients*.txt"
_HEADER = ("RXCUI", "INGREDIENT", "ING_RXCUI")
_COLUMNS = (
    "RXCUI", "GENERIC_RXCUI", "TTY", "FULL_NAME", "RXN_DOSE_FORM", "FULL_GENERIC_NAME", "BRAND_NAME", "DISPLAY_NAME",
    "ROUTE", "NEW_DOSE_FORM", "STRENGTH", "SUPPRESS_FOR", "DISPLAY_NAME_SYNONYM", "IS_RETIRED",
)  # fmt: skip
_PROPERTIES = ("TTY", "DISPLAY_NAME", "ROUTE", "NEW_DOSE_FORM", "STRENGTH", "SUPPRESS_FOR")
_Ingredients = Mapping[int, str]  # of a drug: the names by RXCUI


def recognises(source: Source) -> bool:
    """Tell whether there is a file of RxTerms among the files."""
    return bool(source.find(_DRUGS, _INGREDIENTS))


def load(source: Source, options: Options) -> Import:
    """Return the release with its facts. Raises `TerminologyError` when a file is missing or the version unknown."""
    drugs, ingredients = _one(source, _DRUGS), _one(source, _INGREDIENTS)
    if drugs and not ingredients:
        raise drugs.error("RxTermsIngredientsYYYYMM.txt is missing beside it: import the whole folder, or the zip")
    files = [file for file in (drugs, ingredients) if file]
    if not files:
        raise TerminologyError(
            f"{source.path.name}: there is no RxTermsYYYYMM.txt; import the whole folder, or the zip"
        )
    version = options.version or _version(files)
    skipped: Counter[str] = Counter()
    release = Release(
        system=RXNORM, version=version, title=f"RxTerms (RxNorm) {version}{'' if drugs else ', ingredients only'}"
    )
    facts = _facts(drugs, files[-1], skipped)
    return Import(releases=(release,), facts=((0, fact) for fact in facts), skipped=skipped)


def _one(source: Source, pattern: str) -> SourceFile | None:
    files = source.find(pattern)
    if len(files) > 1:
        raise files[1].error(f"here is a second release beside {files[0].name}: import one of them")
    return files[0] if files else None


def _version(files: list[SourceFile]) -> str:
    versions = {}
    for file in files:
        match = _DATED.fullmatch(file.base_name)
        if match is None:
            raise file.error("the name states no month as RxTerms202306.txt does: give the version with --version")
        versions[f"{match.group(1)}-{match.group(2)}"] = file
    if len(versions) > 1:
        raise files[1].error(f"this is of another month than {files[0].name}: import files of one release")
    return next(iter(versions))


def _facts(drugs: SourceFile | None, ingredients: SourceFile, skipped: Counter[str]) -> Iterator[Fact]:
    parts: dict[int, dict[int, str]] = defaultdict(dict)
    yield from _ingredients(ingredients, parts)
    if drugs:
        yield from _drugs(drugs, parts, skipped)
    else:
        skipped["drugs: RxTermsYYYYMM.txt, which names them, is missing; only their ingredients are known"] += len(
            parts
        )


def _ingredients(file: SourceFile, parts: dict[int, dict[int, str]]) -> Iterator[Fact]:
    """Yield the ingredients as concepts, and of what the drugs are made, which goes into `parts`, too."""
    named: dict[int, str] = {}
    for number, fields in file.rows("|", len(_HEADER), header=_HEADER):
        text = fields[1].strip()
        drug, code = rxcui(file, fields[0], number, "RXCUI"), rxcui(file, fields[2], number, "ING_RXCUI")
        if not text:
            raise file.error("the name is empty", number, "INGREDIENT")
        if code not in named:
            named[code] = text
            yield Concept(str(code), text, EntityType.MEDICATION)
            yield Name(str(code), text, "preferred", is_spoken(text))
        elif named[code] != text:
            yield Name(str(code), text, "synonym", is_spoken(text))
        if code not in parts[drug]:
            parts[drug][code] = named[code]
            yield MapRow(RXNORM, str(drug), RXNORM, str(code), "has-ingredient", _ORIGIN)
    if not named:
        raise file.error("there are no ingredients; is the file cut off?")


def _drugs(file: SourceFile, parts: Mapping[int, _Ingredients], skipped: Counter[str]) -> Iterator[Fact]:
    table = term_types()
    called: dict[tuple[str, bool], set[int]] = defaultdict(set)  # ingredients by their other names; True for a brand
    for number, row in file.records(_COLUMNS, delimiter="|", quoted=False):
        code, tty, text = row["RXCUI"], row["TTY"], row["FULL_NAME"].strip()
        id_ = rxcui(file, code, number, "RXCUI")
        if tty not in table:
            skipped[f"drugs of the term type {tty}, which is unknown"] += 1
            continue
        if not text:
            raise file.error("the name is empty", number, "FULL_NAME")
        retired = bool(row["IS_RETIRED"].strip())
        yield Concept(code, text, table[tty]["type"], "retired" if retired else "active")
        yield Name(code, text, "preferred", False)
        if psn := row.get("PSN", "").strip():
            yield Name(code, psn, "synonym", False)
        yield from (Property(code, name, row[name]) for name in _PROPERTIES if row[name].strip())
        if tty in ("SBD", "BPCK") and (generic := row["GENERIC_RXCUI"].strip()):
            target = rxcui(file, generic, number, "GENERIC_RXCUI")
            yield MapRow(RXNORM, code, RXNORM, str(target), "tradename-of", _ORIGIN)
        made_of = parts.get(id_, {})
        if retired:
            skipped["retired drugs: not offered by ingredient and strength"] += 1
            continue
        if row["BRAND_NAME"].strip():
            # RxTerms writes brands in capitals, in which an abbreviation would be seen; the full name does not.
            bracketed = _BRACKETS.search(text)
            called[bracketed.group(1) if bracketed else row["BRAND_NAME"].strip(), True].update(made_of)
        elif synonym := row["DISPLAY_NAME_SYNONYM"].strip():
            if len(made_of) == 1:  # of a combination, it is the synonym of one part: "HCTZ"
                called[synonym, False].update(made_of)
            else:
                skipped["synonyms that stand with a combination, not with an ingredient"] += 1
        if tty in ("SCD", "SBD"):
            yield from _drug(row, made_of, skipped)
    yield from _other_names(called, skipped)


def _drug(row: Mapping[str, str], made_of: _Ingredients, skipped: Counter[str]) -> Iterator[Fact]:
    form = row["RXN_DOSE_FORM"].strip()
    strengths = _strengths(row["FULL_GENERIC_NAME"], form, made_of)
    if not strengths or not form:
        skipped["drugs whose strengths cannot be told: not offered by ingredient and strength"] += 1
    else:
        codes = "/".join(str(code) for code, _ in strengths)
        yield Drug(row["RXCUI"], codes, "/".join(strength for _, strength in strengths), form.lower())


def _strengths(name: str, form: str, made_of: _Ingredients) -> list[tuple[int, str]]:
    """Return the strength of each ingredient, from the name of the drug; nothing when one cannot be told.

    The column STRENGTH does not say which strength is whose. The name does: "amlodipine 5 MG / olmesartan medoxomil
    40 MG Oral Tablet" has the parts "amlodipine 5 MG" and "olmesartan medoxomil 40 MG".
    """
    found, unknown = [], []
    for part in name.strip().removesuffix(form).strip().split(" / "):
        words = part.split()
        substance, strength = " ".join(words[:-2]).lower(), normal_strength(" ".join(words[-2:]))
        # The longest name that fits: "vitamin B12" is not "vitamin B".
        fitting = [code for code, text in made_of.items() if text.lower() in substance or len(made_of) == 1]
        if not strength:
            return []
        if fitting:
            found.append((max(fitting, key=lambda code: len(made_of[code])), strength))
        else:
            unknown.append(strength)
    left = set(made_of) - {code for code, _ in found}
    if len(left) == len(unknown) == 1:  # a name that differs, and is the only one
        found.append((left.pop(), unknown.pop()))
    return sorted(found) if not left and not unknown else []


def _other_names(called: Mapping[tuple[str, bool], set[int]], skipped: Counter[str]) -> Iterator[Fact]:
    for (text, is_brand), codes in called.items():
        if len(codes) == 1:
            yield Name(str(next(iter(codes))), text, "brand" if is_brand else "synonym", is_spoken(text))
        else:
            reason = "of combinations, for which RxTerms has no code" if codes else "of drugs without ingredients"
            skipped[f"names {reason}"] += 1
