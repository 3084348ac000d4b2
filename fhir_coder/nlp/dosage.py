"""How a medication is taken: dose, strength, form, route, frequency, duration, as needed, and what changes.

The words are those of the `mappings/medication_*.csv` tables; patterns run on re2, in time linear in the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import takewhile
from typing import Any

import re2

from fhir_coder.errors import TableError
from fhir_coder.nlp.phrases import Phrases
from fhir_coder.tables import read_table, split

_WINDOW = 160  # characters behind a medication that may belong to it
_BEFORE = 40  # and before it ("10 mg of lisinopril", "started")

_NUMBER = r"\d{1,3}(?:,\d{3})+|\d{1,7}(?:\.\d{1,4})?|\.\d{1,4}|one|two|three|four|half"
# "5/325" is the strength of a combination, "1-2" a range.
_QUANTITY = re2.compile(
    rf"(?i)(?P<combined>\d+(?:\.\d+)?(?:/\d+(?:\.\d+)?)+)[\s-]?"
    rf"|(?P<number>\b(?:{_NUMBER})|\.\d{{1,4}})(?:\s*(?:-|–|to)\s*(?P<high>{_NUMBER}))?[\s-]?"
)
_VOLUMES = frozenset({"mL", "[tsp_us]", "[tbs_us]"})  # beside an amount that is weighed they are what is taken
_WORDS = {"one": 1.0, "two": 2.0, "three": 3.0, "four": 4.0, "half": 0.5}
_SPAN = {
    "second": "s", "minute": "min", "hour": "h", "hr": "h", "day": "d", "d": "d", "week": "wk", "wk": "wk",
    "month": "mo", "mo": "mo", "year": "a", "yr": "a", "h": "h",
}  # fmt: skip

_DURATION = re2.compile(
    r"(?i)\b(?:(?:for|x|×|over(?: the)?(?: next)?)\s*(?:a total of |the next |another |about |up to |at least )?"
    r"(?P<number>\d{1,3}|one|two|three|four)(?:\s*-\s*\d{1,3})?\s*(?:more\s+|additional\s+)?"
    r"(?P<span>hours?|hrs?|days?|weeks?|wks?|months?|mos?|years?|yrs?|[dh])"
    r"|(?P<length>\d{1,3})[\s-](?P<period>day|week|month)\s+(?:course|taper|trial))\b"
)
_AS_NEEDED = re2.compile(
    r"(?i)\b(?:prn|p\.r\.n\.?|as needed|as required|if needed|when needed)(?:\b|\W)"
    r"(?:\s*(?:for\s+)?(?P<reason>[a-z][a-z/-]*(?: [a-z][a-z/-]*){0,3}))?"
)
# Words that end the reason of an "as needed": the sentence goes on about something else.
_REASON_ENDS = frozenset(
    "for and with at up not max maximum take taken by he she patient then but last until while".split()
)
_ACTIONS = {
    # Before "stop": who is discharged on a drug takes it.
    "continue": r"continu(?:e|es|ed|ing)|cont|resum(?:e|ed)|remains? on|maintained on|taking|takes"
    r"|(?:d/?c(?:'?e?d)?|discharged)(?: home)? on|on",
    "stop": r"stop(?:ped|ping)?|discontinu(?:e|ed|ing|ation)|cessation"
    r"|withdr[ae]w(?:al|n)?|d/c(?:'?ed|'?d)?|dc'?d|off of"
    r"|came off|quit",
    "hold": r"hold(?:ing)?|held",
    "increase": r"increas(?:e|ed|ing)|uptitrat(?:e|ed|ing|ion)|titrat(?:e|ed) up",
    "decrease": r"decreas(?:e|ed|ing)|reduc(?:e|ed|ing|tion)|taper(?:ed|ing)?|lower(?:ed|ing)?|wean(?:ed|ing)?",
    "start": r"start(?:ed|ing)?|begin(?:ning)?|began|begun|initiat(?:e|ed|ing|ion)|add(?:ed|ing|ition)?|prescribed?"
    r"|restart(?:ed)?",
}
# "stopped her lisinopril", but not "did not stop lisinopril".
_ACTION = re2.compile(
    r"(?i)(?P<not>\b(?:not|never|without|n't|cannot)\s+)?\b(?:"
    + "|".join(f"({words})" for words in _ACTIONS.values())
    + r")[\s:]+(?:(?:her|his|the|their|home|taking|on|back|dose of|dosage of|of|in|with|to)\s+)*$"
)
# "lisinopril 10 mg was stopped", "lisinopril increased to 20 mg".
_DONE = {
    "stop": r"stopped|discontinued|withdrawn|d/c'?e?d|dc'?d",
    "hold": r"held|on hold",
    "increase": r"increased|uptitrated|titrated up|doubled",
    "decrease": r"decreased|reduced|tapered|lowered|weaned|halved",
    "start": r"started|begun|initiated|added|restarted|prescribed",
    "continue": r"continued|resumed",
}
_ACTION_BEHIND = re2.compile(
    r"(?i)^(?:[^.;,]{0,60}?(?:,\s*(?:but\s+)?(?:which|this|that|it)\s+)?"
    r"\b(?:was|were|has been|have been|had been|is being|is|are|to be|will be"
    r"|should be)\s+(?:[a-z]+ly\s+|then\s+|also\s+)?|\s*[,:-]?\s*(?:dose\s+|dosage\s+)?)(?:"
    + "|".join(f"({words})" for words in _DONE.values())
    + r")\b"
)
# In a column of its own, in brackets, or behind a dash or comma: "5 mg | PO | daily | On hold", "daily - STOPPED"; but
# ", STOP " before the next medication speaks of that one.
_SEPARATED = r"(?i)(?:\||\(|\s[-–—]+>?|→|,)\s*(?:currently |now |temporarily |patient )?"
_STATUS_BEHIND = re2.compile(
    rf"{_SEPARATED}(?:(?P<stop>stopped|discontinued|withdrawn|d/c'?e?d|dc'?d|not taking|no longer taking"
    r"|but (?:unfortunately )?(?:she|he|they|(?:the )?(?:patient|pt)) (?:did not|didn't|could not|couldn't) tolerate"
    r"|(?:completed|finished)\s+(?:(?:an?|the|her|his|full|\d+[ -]day)\s+)*course"
    r"|(?:stop|discontinue|d/c|completed|finished)(?:\s*[.;,)|\n]|$))|(?P<hold>held|on hold|hold))\b?(?P<rest>.{0,25})"
)
# What is held at some reading is taken until then: "hold for HR < 55". And ", hold " may speak of the next medication.
_CONDITION = re2.compile(r"(?i)^\s*(?:for|if|when|unless|parameters|sbp|dbp|hr|bp|map)\b|^\s+$")
_CHANGES = frozenset({"increase", "decrease"})
# "Lisinopril, stopped smoking", "lisinopril, stopped metoprolol": what is stopped is something else.
_OF_NEXT = re2.compile(
    r"(?i)(?:[,;]|\b(?:and|then)\b)\s*(?:we |have |has |had )?(?:stopped|discontinued|held|d/c'?e?d|dc'?d)"
    r"\s+(?:(?:her|his|the|their|home|taking)\s+)*$"
)
_OBJECT = re2.compile(r"(?i)\bstopped\s+(?:smoking|drinking|alcohol|tobacco|etoh|cigarettes|vaping|working|driving)\b")
_FROM = re2.compile(r"(?i)\bfrom\s*$")
_TO = re2.compile(r"(?i)^\s*(?:(?:daily|bid|tid|qd|qhs)\s*)?(?:to|->|-->|→)\s*$")

# A dose without a number: "high-dose methotrexate", "a single dose of".
_LEVEL_BEFORE = re2.compile(
    r"(?i)\b(?P<level>(?:very )?(?:high|low|higher|lower|single|standard|regular|maximum|maximal"
    r"|therapeutic|full|half|small"
    r"|large|loading|stress)(?: (?:small|low|high|oral))?)[’'\" -]{1,2}dos(?:e|es|age|ages)\s+(?:of\s+)?(?:[a-z]+\s+)?$"
)
_LEVEL_BEHIND = re2.compile(r"(?i)^\s+(?P<level>overdos(?:e|es|age|ages))\b")

# The most that may be taken: "max 4 g/day", "not to exceed 8 tablets in 24 hours".
_MAX = re2.compile(
    r"(?i)\b(?:max(?:imum)?\.?|not to exceed|do not exceed|nte|no more than)\s(?:(?:daily\s)?(?:dose|dosage)\s)?"
    r"(?:of\s)?(?P<number>\d{1,5}(?:,\d{3})?(?:\.\d{1,3})?)\s?"
)
_PER_DAY = re2.compile(
    r"(?i)\s?(?:/\s?(?:d|day|24\s?h(?:ours|rs?)?)|per\s(?:day|24)|a\sday|daily|(?:in|within|every)\s24)"
)

_SIG_FILLER = re2.compile(r"(?i)^(?:[\s\d.,;:/%()+-]+|(?:at|of|x|per|hr|h)\b)")  # between the words of a sig
_FARTHEST = 45  # characters between two words of a sig, or between the medication and the first
_MOST_WORDS = 7  # and words
_GAP_WORD = re2.compile(r"[A-Za-z]+|[;]")
# What ends a sig: it goes on about something else.
_ENDS = frozenset("and but then while which who whom because although if when after before ;".split())
# What a sentence within a sig begins with: "10 mg tablets. Take one daily."
_SIG_GOES_ON = re2.compile(
    r"(?i)[.][\s,]+(?:sig|take|takes|use|give|apply|inject|inhale|one|two|three|[0-9]|po|p\.o|q|prn|for)\b"
)
_SENTENCE = re2.compile(r"[.][\s,]+[A-Z]|[.],|\n\s*\n|\n\s*[0-9]{1,2}[.)]\s")
# Between an amount and the medication it stands before: "10 mg of oral", "20 mg IV".
_LEADS = frozenset(
    "of oral iv intravenous po p o the a an generic im sc subcutaneous topical inhaled daily low dose".split()
)
_GIVES_AWAY = re2.compile(r"(?i)^[\s,]*(?:and|with|plus|or|&)\b")


@dataclass(frozen=True, slots=True)
class _Tables:
    units: Phrases[tuple[str, str]]  # the unit, and its UCUM code
    forms: Phrases[str]
    routes: Phrases[str]
    frequencies: Phrases[tuple[str, Mapping[str, Any]]]  # in words, and as FHIR Timing.repeat


@dataclass(frozen=True, slots=True)
class _Part:
    """Words of a sig that are no amount, and what they say."""

    start: int
    end: int
    found: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Amount:
    text: str
    start: int
    end: int
    value: float | None  # None for a combination: "5/325 mg"
    high: float | None
    unit: str
    ucum: str

    @property
    def is_counted(self) -> bool:
        """Tell whether it counts things (tablets, puffs) and does not weigh them."""
        return self.ucum.startswith("{") or self.ucum in _VOLUMES


def read_dosage(text: str, start: int, end: int, first: int, last: int) -> Mapping[str, Any]:
    """Return how the medication at `start`:`end` is taken, reading no further than `first` and `last`.

    Keys, each only when the text says so: `dose`, `dose_high` (numbers), `unit` (as the table calls it), `ucum`,
    `dose_level` ("high", "overdose": a dose without a number), `strength` ("500 mg"), `form`, `route`, `frequency`
    (words), `timing` (FHIR Timing.repeat), `duration` (words), `duration_value`, `duration_unit` (UCUM), `as_needed`,
    `reason` (for which it is taken as needed), `max_per_day` (value, unit, ucum), `action` (start,
    stop, hold, increase, decrease, continue), `old_dose` and `new_dose` (value, unit, ucum) of an increase or decrease,
    `sig`, the words behind the medication as written, and `spans`, start and end of the sig and of an amount before it.
    """
    tables = _tables()
    behind = text[end : min(last, end + _WINDOW)]
    before = text[max(first, start - _BEFORE) : start]
    found: dict[str, Any] = {}
    spans: dict[str, tuple[int, int]] = {}
    parts = _sig(behind, tables, is_cut=last < len(text) and end + _WINDOW > last)
    amounts = [part for part in parts if isinstance(part, _Amount)]
    change = _change(behind, amounts)
    used = (change[1], None) if change else _strength_and_dose(amounts[:3])
    found |= _dose(*used)
    if not found:
        leading = _leading(before, tables.units)
        found |= _dose(*_strength_and_dose(leading))
        if found:
            begin = start - len(before)
            spans["dose"] = (begin + leading[0].start, begin + leading[-1].end)
    if "dose" not in found and (level := _LEVEL_BEFORE.search(before) or _LEVEL_BEHIND.search(behind)):
        found["dose_level"] = level.group("level").lower()
    for part in parts:
        if not isinstance(part, _Amount):
            found |= part.found
    if parts:
        reach = max(part.end for part in parts)
        sig = " ".join(behind[:reach].split()).strip(" ,;:-").lstrip(") ").removeprefix("to ")
        found["sig"] = sig
        spans["sig"] = (end + behind[:reach].index(sig.split(" ", 1)[0]), end + reach)
    if "dose" in found and (most := _max_per_day(behind, tables.units)):
        found["max_per_day"] = most
    action = _action(before, behind)
    if action:
        found["action"] = action
    if "dose" in found and (change or action in _CHANGES):
        found["new_dose"] = {name: found[name] for name in ("dose", "unit", "ucum") if name in found}
        found["new_dose"]["value"] = found["new_dose"].pop("dose")
        if change:
            found["old_dose"] = {"value": change[0].value, "unit": change[0].unit, "ucum": change[0].ucum}
    return found | {"spans": spans} if spans else found


def _max_per_day(behind: str, units: Phrases[tuple[str, str]]) -> dict[str, Any] | None:
    """Return the most that may be taken in a day: "max 4 g/day", "not to exceed 3 tablets in 24 hours"."""
    match = _MAX.search(behind)
    unit = units.at(behind, match.end()) if match else None
    if not match or not unit or _SENTENCE.search(behind[: match.start()]):
        return None
    name, ucum = (each.removesuffix("/day").removesuffix("/d") for each in unit.meaning)
    if (name, ucum) == unit.meaning and not _PER_DAY.match(behind[unit.end :]):
        return None
    return {"value": _number(match.group("number")), "unit": name, "ucum": ucum}


def _sig(behind: str, tables: _Tables, is_cut: bool) -> list[_Amount | _Part]:
    """Return the amounts, forms, ... behind a medication that are its own: each close to the one before it."""
    parts: list[_Amount | _Part] = list(_amounts(behind, tables.units))
    for name, phrases in (("form", tables.forms), ("route", tables.routes)):
        if phrase := phrases.search(behind):
            parts.append(_Part(phrase.start, phrase.end, {name: phrase.meaning}))
    if frequency := tables.frequencies.search(behind):
        words, timing = frequency.meaning
        parts.append(_Part(frequency.start, frequency.end, {"frequency": words, "timing": dict(timing)}))
    if match := _DURATION.search(behind):
        parts.append(_Part(match.start(), match.end(), _duration(match)))
    if match := _AS_NEEDED.search(behind):
        reason = _reason(match.group("reason") or "")
        parts.append(_Part(match.start(), match.end(), {"as_needed": True, **({"reason": reason} if reason else {})}))
    own: list[_Amount | _Part] = []
    reach = 0
    for part in sorted(parts, key=lambda part: (part.start, part.end)):
        if part.start > reach and not _goes_on(behind[reach : part.start + 1]):
            break
        if is_cut and isinstance(part, _Amount) and _is_of_next(behind, reach, part):
            break
        own.append(part)
        reach = max(reach, part.end)
    return own


def _goes_on(gap: str) -> bool:
    """Tell whether what follows a gap (whose last character is its first) may still be of the same sig."""
    if len(gap) > _FARTHEST + 1:
        return False
    if _SENTENCE.search(gap) and not _SIG_GOES_ON.search(gap):
        return False
    words = _GAP_WORD.findall(gap[:-1].lower())
    return len(words) <= _MOST_WORDS and _ENDS.isdisjoint(words)


def _is_of_next(behind: str, reach: int, amount: _Amount) -> bool:
    """Tell whether an amount is of the medication that follows: "Demerol and 2 mg of Versed"."""
    rest = behind[amount.end :].split()
    if rest == ["of"]:
        return True
    return not rest and bool(_GIVES_AWAY.search(behind[reach : amount.start]))


def _leading(before: str, units: Phrases[tuple[str, str]]) -> list[_Amount]:
    """Return the amounts that lead up to a medication: "16 mL of 2 %"."""
    leading: list[_Amount] = []
    begin = len(before)
    for amount in reversed(_amounts(before, units)):
        gap = before[amount.end : begin].lower()
        if not _LEADS.issuperset(_GAP_WORD.findall(gap)) or any(mark in gap for mark in ",;:()"):
            break
        leading.append(amount)
        begin = amount.start
    return leading[:2][::-1]


def _change(behind: str, amounts: Sequence[_Amount]) -> tuple[_Amount, _Amount] | None:
    """Return the old and the new dose: "from 10 to 20 mg", "from 10 mg to 20 mg", "10 mg -> 20 mg"."""
    for position, amount in enumerate(amounts[:3]):
        after_from = bool(_FROM.search(behind[: amount.start]))
        if after_from and amount.value is not None and amount.high:
            return replace(amount, high=None), replace(amount, value=amount.high, high=None)
        if position + 1 < len(amounts) and amount.value is not None and amounts[position + 1].value is not None:
            following = amounts[position + 1]
            if following.ucum == amount.ucum and _TO.search(behind[amount.end : following.start]):
                return amount, following
    return None


def _action(before: str, behind: str) -> str | None:
    """Return what is done with a medication, told by the words before it, else by those behind."""
    match = _ACTION.search(before)
    if match and match.group("not"):
        return None
    action = _first(_ACTIONS, match.groups()[1:]) if match else None
    done = _action_behind(behind)
    # "on lisinopril, which was stopped": being on it tells less than what was done, and so does that it was begun.
    return done if done and (action in (None, "continue") or (action, done) == ("start", "stop")) else action


def _action_behind(behind: str) -> str | None:
    behind = _OF_NEXT.sub("", _OBJECT.sub("", behind))
    if separated := _separated_action(behind):
        return separated
    match = _ACTION_BEHIND.search(behind)
    if not match or " and " in match.group():
        return None
    return _first(_DONE, match.groups())


def _separated_action(behind: str) -> str | None:
    """Return the action that a column, brackets or what stands behind a dash tells of the medication before it."""
    clause = _SENTENCE.split(behind, maxsplit=1)[0].split("\n", 1)[0]
    match = _STATUS_BEHIND.search(clause)
    if match is None or (match.group("hold") and _CONDITION.match(match.group("rest"))):
        return None
    return "stop" if match.group("stop") else "hold"


def _first(actions: Iterable[str], words: Sequence[str | None]) -> str | None:
    return next((action for action, word in zip(actions, words, strict=True) if word), None)


def is_sig(words: str) -> bool:
    """Tell whether words say how something is taken, and not what: "oint", "/hr patch", "at 0910"."""
    tables = _tables()
    position = 0
    while position < len(words):
        if skipped := _SIG_FILLER.match(words[position:]):
            position += skipped.end()
            continue
        known: tuple[Phrases[Any], ...] = (tables.forms, tables.routes, tables.frequencies, tables.units)
        phrases = [phrase for table in known if (phrase := table.at(words, position))]
        if not phrases:
            return False
        position = max(phrase.end for phrase in phrases)
    return True


def is_taken(dosage: Mapping[str, Any]) -> bool:
    """Tell whether a dosage says anything that only a medication has."""
    return any(name in dosage for name in ("dose", "frequency", "route", "form"))


def _amounts(text: str, units: Phrases[tuple[str, str]]) -> list[_Amount]:
    amounts = []
    for match in _QUANTITY.finditer(text):
        unit = units.at(text, match.end())
        if unit is None or text[match.start() - 1 : match.start()] in (".", "/"):
            continue
        high = match.group("high")
        amounts.append(
            _Amount(
                text=" ".join(text[match.start() : unit.end].split()),
                start=match.start(),
                end=unit.end,
                value=_number(match.group("number")) if match.group("number") else None,
                high=_number(high) if high else None,
                unit=unit.meaning[0],
                ucum=unit.meaning[1],
            )
        )
    return amounts


def _strength_and_dose(amounts: list[_Amount]) -> tuple[_Amount | None, _Amount | None]:
    """Tell the amount that is weighed from the one that is counted: "10 mg tablet, take 2 tablets"."""
    counted = next((amount for amount in amounts if amount.is_counted), None)
    weighed = [amount for amount in amounts if not amount.is_counted]
    # "15 mg weekly (7.5 mg x 2 tablets)": of what is counted, the strength stands right before the count.
    before = [amount for amount in weighed if counted and amount.end <= counted.start]
    return (before[-1] if before else weighed[0] if weighed else None), counted


def _dose(weighed: _Amount | None, counted: _Amount | None) -> dict[str, Any]:
    """Return strength and dose; what is weighed is the dose when nothing is counted: "10 mg daily"."""
    found: dict[str, Any] = {}
    if weighed and (counted or weighed.value is None or weighed.ucum == "%"):
        found["strength"] = weighed.text
    dose = counted or (weighed if weighed and weighed.ucum != "%" else None)
    if dose and dose.value is not None:
        found |= {"dose": dose.value, "unit": dose.unit, "ucum": dose.ucum}
        if dose.high:
            found["dose_high"] = dose.high
    return found


def _reason(words: str) -> str:
    return " ".join(takewhile(lambda word: word.lower() not in _REASON_ENDS, words.split()))


def _duration(match: Any) -> dict[str, Any]:
    number = int(_number(match.group("number") or match.group("length")))
    span = (match.group("span") or match.group("period")).lower()
    unit = _SPAN[span] if span in _SPAN else _SPAN[span.removesuffix("s")]
    return {"duration": f"{number} {span}", "duration_value": number, "duration_unit": unit}


def _number(written: str) -> float:
    value = _WORDS.get(written.lower()) or float(written.replace(",", ""))
    return int(value) if float(value).is_integer() else value


@cache
def _tables() -> _Tables:
    units = {
        name: (row["unit"], row["ucum"])
        for row in read_table("medication_units.csv", ("unit", "ucum", "names"))
        for name in (row["unit"], *split(row["names"]))
    }
    return _Tables(
        units=Phrases(units),
        forms=_canonical(read_table("medication_forms.csv", ("form", "names")), "form"),
        routes=_canonical(read_table("medication_routes.csv", ("route", "names", "snomed", "display")), "route"),
        frequencies=_frequencies(),
    )


def _canonical(rows: list[dict[str, str]], column: str) -> Phrases[str]:
    return Phrases({name: row[column] for row in rows for name in (row[column], *split(row["names"]))})


def _frequencies() -> Phrases[tuple[str, Mapping[str, Any]]]:
    columns = ("text", "names", "frequency", "period", "periodMax", "periodUnit", "when")
    frequencies: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for row in read_table("medication_frequencies.csv", columns):
        try:
            timing: dict[str, Any] = {
                name: _number(row[name]) for name in ("frequency", "period", "periodMax") if row[name]
            }
        except ValueError as error:
            raise TableError(f"mappings/medication_frequencies.csv: {row['text']}: {error}") from error
        if row["periodUnit"]:
            timing["periodUnit"] = row["periodUnit"]
        if row["when"]:
            timing["when"] = list(split(row["when"]))
        frequencies |= dict.fromkeys(split(row["names"]), (row["text"], timing))
    return Phrases(frequencies)
