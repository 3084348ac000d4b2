"""LOINC: Loinc.csv with its companions, as the publisher's zip has them."""

from __future__ import annotations

import csv
from pathlib import Path

from synthetic import words
from synthetic.making import Made, Names, Tick, pick, zipped

TERMS = 104_000
_COLUMNS = (
    "LOINC_NUM COMPONENT PROPERTY TIME_ASPCT SYSTEM SCALE_TYP METHOD_TYP CLASS VersionLastChanged CHNG_TYPE "
    "DefinitionDescription STATUS CONSUMER_NAME CLASSTYPE FORMULA EXMPL_ANSWERS SURVEY_QUEST_TEXT SURVEY_QUEST_SRC "
    "UNITSREQUIRED RELATEDNAMES2 SHORTNAME ORDER_OBS HL7_FIELD_SUBFIELD_ID EXTERNAL_COPYRIGHT_NOTICE EXAMPLE_UNITS "
    "LONG_COMMON_NAME EXAMPLE_UCUM_UNITS STATUS_REASON STATUS_TEXT CHANGE_REASON_PUBLIC COMMON_TEST_RANK "
    "COMMON_ORDER_RANK HL7_ATTACHMENT_STRUCTURE EXTERNAL_COPYRIGHT_LINK PanelType AskAtOrderEntry "
    "AssociatedObservations VersionFirstReleased ValidHL7AttachmentRequest DisplayName"
).split()
# PROPERTY, how it is said, unit
_PROPERTIES = {
    "MCnc": ("Mass/volume", "mg/dL"),
    "SCnc": ("Moles/volume", "mmol/L"),
    "ACnc": ("Presence", ""),
    "NCnc": ("#/volume", "10*3/uL"),
    "MFr": ("Pure mass fraction", "%"),
    "Titr": ("Titer", "{titer}"),
    "CCnc": ("Enzymatic activity/volume", "U/L"),
}
_ANTIBODIES = ("Ab", "Ag", "IgG Ab", "IgM Ab", "IgA Ab", "DNA", "RNA")
_COMPONENTS = (
    *words.ANALYTES,
    *(f"{analyte}.{part}" for analyte in words.ANALYTES for part in ("free", "total", "bound")),
    *(f"{genus} {species} {what}" for genus in words.ORGANISMS for species in words.SPECIES for what in _ANTIBODIES),
)
_COMMON = 2_000  # terms with a rank


def loinc_code(number: int) -> str:
    """Return a code with its check digit (Mod 10)."""
    digits = str(number)
    doubled = str(int(digits[::-1][::2][::-1]) * 2)
    total = sum(map(int, doubled)) + sum(map(int, digits[::-1][1::2]))
    return f"{number}-{-total % 10}"


def make(folder: Path, scale: float, tick: Tick) -> Made:
    """Write the release below a folder."""
    place = folder / "loinc"
    files = {
        name: place / path
        for name, path in {
            "Loinc": "LoincTable/Loinc.csv",
            "MapTo": "LoincTable/MapTo.csv",
            "ConsumerName": "AccessoryFiles/ConsumerName/ConsumerName.csv",
            "Panels": "AccessoryFiles/PanelsAndForms/PanelsAndForms.csv",
        }.items()
    }
    for path in files.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    made = Made(folder / "Loinc_2.81.zip", folder / "names.csv")
    count = int(TERMS * scale)
    with (
        Names(made) as names,
        files["Loinc"].open("w", encoding="utf-8", newline="") as terms,
        files["MapTo"].open("w", encoding="utf-8", newline="") as replaced,
        files["ConsumerName"].open("w", encoding="utf-8", newline="") as consumer,
        files["Panels"].open("w", encoding="utf-8", newline="") as panels,
    ):
        table = csv.DictWriter(terms, _COLUMNS, restval="", quoting=csv.QUOTE_ALL)
        map_to, lay, members = (csv.writer(stream, quoting=csv.QUOTE_ALL) for stream in (replaced, consumer, panels))
        table.writeheader()
        map_to.writerow(("LOINC", "MAP_TO", "COMMENT"))
        lay.writerow(("LoincNumber", "ConsumerName"))
        members.writerow(("ParentId", "ParentLoinc", "ParentName", "ID", "SEQUENCE", "Loinc", "LoincName"))
        tick("Loinc.csv", count)
        for number in range(count):
            row = _term(number)
            code = row["LOINC_NUM"]
            table.writerow(row)
            said = [
                row[name] for name in ("LONG_COMMON_NAME", "SHORTNAME", "DisplayName", "CONSUMER_NAME") if row.get(name)
            ]
            if number % 2:
                said.append(f"{row['COMPONENT']}, {row['SYSTEM']}, for lay people")
                lay.writerow((code, said[-1]))
            names.add(code, said)
            made.counts["concepts"] += 1
            retired = row["STATUS"] in ("DEPRECATED", "DISCOURAGED")
            made.counts["retired"] += retired
            if retired:
                map_to.writerow((code, loinc_code(number + 10_001), ""))
                made.counts["maps"] += 1
            if number % 20 == 0:
                members.writerow((number, code, "", number, 1, code, ""))
                for member in range(1, 6):
                    members.writerow((number, code, "", number, member + 1, loinc_code(number + 10_000 + member), ""))
            if number % 1000 == 999:
                tick("Loinc.csv", -1000)
    zipped(place, made.path)
    return made


def _term(number: int) -> dict[str, str]:
    component, property_, system, method, time = pick(
        *(number, _COMPONENTS, list(_PROPERTIES), words.SPECIMENS, ("", *words.METHODS), ("Pt", "24H"))
    )
    said, unit = _PROPERTIES[property_]
    within = " in 24 hours" if time == "24H" else ""
    by = f" by {method}" if method else ""
    long = f"{component} [{said}] in {system}{within}{by}"
    row = {
        "LOINC_NUM": loinc_code(number + 10_000),
        "COMPONENT": component,
        "PROPERTY": property_,
        "TIME_ASPCT": time,
        "SYSTEM": system,
        "SCALE_TYP": "Qn" if unit else "Ord",
        "METHOD_TYP": method,
        "CLASS": "CHEM" if number % 3 else "SERO",
        "VersionLastChanged": "2.81" if number == 0 else f"2.{number % 81}",
        "CHNG_TYPE": "MIN",
        "STATUS": "DEPRECATED" if number % 50 == 49 else "DISCOURAGED" if number % 50 == 48 else "ACTIVE",
        "CLASSTYPE": "1",
        "RELATEDNAMES2": f'{component}; {system}; {said}; Pt; Quantitative; Laboratory, "of course"',
        "SHORTNAME": f"{component[:12]} {system[:4]}{'-' + method[:5] if method else ''} {property_}",
        "ORDER_OBS": "Both",
        "LONG_COMMON_NAME": long,
        "EXAMPLE_UCUM_UNITS": unit,
        "COMMON_TEST_RANK": str(number + 1) if number < _COMMON else "0",
        "VersionFirstReleased": "1.0",
        "DisplayName": f"{component}{f' {method}' if method else ''} ({system}) [{said}]",
    }
    if number % 3 == 0:
        row["CONSUMER_NAME"] = f"{component}, {system}{within}{by}"
    return row
