"""What a coder saw go wrong in notes of many styles: a finding that is not there, a stopped drug that is taken, a goal
that is a result. By cause, each in several words.
"""

from __future__ import annotations

from typing import Any

import pytest

from fhir_coder import Note, to_bundle
from fhir_coder.pipeline import Coder
from tests.conftest import Read


def _flags(read: Read, text: str, words: str) -> str:
    said = read.one(text, words).assertion
    marks = (said.negated, said.certainty != "certain", said.temporality == "historical", said.experiencer != "patient")
    return "".join(mark for mark, is_so in zip("NHOF", marks, strict=True) if is_so)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("61-year-old male with hemoptysis.", "hemoptysis"),
        ("INDICATION: 61-year-old male with pneumonia.", "pneumonia"),
        ("A 7-month-old with cough.", "cough"),
        ("This is a 3-day-old infant with jaundice.", "jaundice"),
        ("A 45 - year - old woman with cough.", "cough"),
    ],
)
def test_the_age_of_a_patient_puts_nothing_in_the_past(read: Read, text: str, words: str) -> None:
    assert _flags(read, text, words) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Joint pain: Y  Back pain: N  Cough: N", {"Joint pain": "", "Back pain": "N", "Cough": "N"}),
        ("Seizures: N\nAsthma: Y\n", {"Seizures": "N", "Asthma": ""}),
        ("Hepatitis: [ ] Yes [x] No\nAsthma: [x] Yes [ ] No", {"Hepatitis": "N", "Asthma": ""}),
        ("Stroke: ( ) Y (X) N", {"Stroke": "N"}),
        ("Stroke: (X) Y ( ) N", {"Stroke": ""}),
        ("Asthma ☐ Yes ☒ No\nStroke ☒ Yes ☐ No", {"Asthma": "N", "Stroke": ""}),
        ("Stroke  Yes [ ]  No [X]\nAsthma  Yes [X]  No [ ]", {"Stroke": "N", "Asthma": ""}),
        ("dizziness-, syncope-, numbness+, cough+", {"dizziness": "N", "syncope": "N", "numbness": "", "cough": ""}),
        ("anxiety +, depression -, SI -", {"anxiety": "", "depression": "N", "SI": "N"}),
        ("A/P: Pneumonia -\nceftriaxone", {"Pneumonia": ""}),
    ],
)
def test_yes_and_no_of_forms(read: Read, text: str, expected: dict[str, str]) -> None:
    assert {words: _flags(read, text, words) for words in expected} == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The risks of bleeding, infection, ileus and DVT were explained.", "DVT"),
        ("Discussed risks of isotretinoin incl. depression.", "depression"),
        ("Stroke alert called at 0815.", "Stroke"),
        ("Code stroke activated.", "stroke"),
    ],
)
def test_what_is_only_spoken_of_is_no_finding(read: Read, text: str, words: str) -> None:
    found = [each for each in read.note(text).entities if each.text == words]
    assert all(each.assertion.certainty != "certain" for each in found)


@pytest.mark.parametrize(
    ("text", "words", "flags"),
    [
        ("No new sx. Baseline: foot drop, spasticity.", "spasticity", ""),
        ("Denies N/V/D. Skin: pressure ulcer.", "pressure ulcer", ""),
        ("No seizures in 2 yrs. Asthma is stable.", "Asthma", ""),
        ("Strep neg. Asthma is stable.", "Asthma", ""),
        ("Isolation: contact - MRSA hx. Pt has cough.", "cough", ""),
        ("Isolation: contact - MRSA hx.", "MRSA", "O"),
        ("PMH significant for hypertension and stroke.", "hypertension", ""),
        ("PMH significant for hypertension and stroke.", "stroke", "O"),
        ("67F w/ hx of gout and stroke, p/w pneumonia.", "pneumonia", ""),
        ("67F w/ hx of gout and stroke, p/w pneumonia.", "stroke", "O"),
    ],
)
def test_what_is_said_ends_with_its_sentence(read: Read, text: str, words: str, flags: str) -> None:
    assert _flags(read, text, words) == flags


def _entries(coder: Coder, text: str) -> list[Any]:
    return to_bundle(coder(Note(text=text, subject="Patient/1")))["entry"]


def _statuses(coder: Coder, text: str, kind: str) -> dict[str, str]:
    resources = [entry["resource"] for entry in _entries(coder, text)]
    named = "medicationCodeableConcept" if kind == "MedicationStatement" else "code"
    return {each[named]["text"].lower(): each["status"] for each in resources if each["resourceType"] == kind}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Amlodipine | 5 mg | PO | daily | Active\nMetoprolol | 50 mg | PO | daily | On hold", ["active", "on-hold"]),
        ("Warfarin | 5 mg | PO | qPM | Discontinued 10/15/2024", ["stopped"]),
        ("Meds: atorvastatin 40 mg daily, clopidogrel (stopped 2020)", ["active", "stopped"]),
        ("Meds: warfarin 5 mg daily - STOPPED", ["stopped"]),
        ("Meds: metformin 1000 mg BID - HOLD until f/u", ["on-hold"]),
        ("Meds: lisinopril 10 mg daily (on hold), aspirin 81 mg daily", ["on-hold", "active"]),
        ("Metoprolol 25 mg BID, hold for HR<55", ["active"]),
        ("d/c lisinopril. Start aspirin 81 mg daily.", ["stopped", "active"]),
        ("Prednisone 40 mg daily x 5 days, then stop", ["active"]),
        ("Aspirin 81 mg daily, stop if bleeding", ["active"]),
        ("Lisinopril 10 mg daily (not taking), aspirin 81 mg daily", ["stopped", "active"]),
        ("Meds: carvedilol 6.25 mg BID, STOP lisinopril, aspirin 81 mg", ["active", "stopped", "active"]),
        ("Meds: carvedilol 6.25 mg BID, hold lisinopril, aspirin 81 mg", ["active", "on-hold", "active"]),
        ("STOP: ibuprofen, HCTZ", ["stopped", "stopped"]),
        ("Zosyn dc'd.", ["stopped"]),
        ("She was on Coumadin in the past but was changed to Eliquis.", ["stopped", "active"]),
        ("Was prescribed glipizide but never filled it. Takes aspirin.", ["active"]),
        ("Ran out of metformin. Takes aspirin.", ["completed", "active"]),
        ("Avoid ibuprofen. Continue HCTZ.", ["active"]),
        ("Mallampati III, ASA 3. Takes HCTZ.", ["active"]),
        ("Takes ASA 81 mg daily.", ["active"]),
        ("Nexplanon removed 2021.", ["completed"]),
        ("Metoprolol (Toprol XL) 50 mg daily", ["active"]),
        ("Discontinued metformin, glipizide, and lisinopril due to AKI.", ["stopped", "stopped", "stopped"]),
        ("Hold metformin and lisinopril. Continue aspirin.", ["on-hold", "on-hold", "active"]),
        ("Metformin, glipizide and lisinopril were stopped.", ["stopped", "stopped", "stopped"]),
        ("Stop ibuprofen, start acetaminophen.", ["stopped", "active"]),
        ("Stop ibuprofen, HCTZ 25 mg daily.", ["stopped", "active"]),
        ("On metformin, lisinopril was held.", ["active", "on-hold"]),
        ("Failed lisinopril and losartan.", ["completed", "completed"]),
        ("Failed metformin, now on glipizide 5 mg daily.", ["completed", "active"]),
        ("Metformin and glipizide have failed.", ["completed", "completed"]),
        ("Did not tolerate atorvastatin.", ["completed"]),
        ("Switched from lisinopril to losartan.", ["completed", "active"]),
        ("Lisinopril was changed to losartan.", ["stopped", "active"]),
        ("Her lisinopril was changed to 20 mg daily.", ["active"]),
        ("Prednisone was changed to every other day.", ["active"]),
        ("Trial of gabapentin 300 mg TID.", ["active"]),
        ("Failed back syndrome on gabapentin.", ["active"]),
        ("Warfarin 5 mg - daily - changed to Eliquis 5 mg BID", ["stopped", "active"]),
        ("Warfarin 5 mg daily -> Eliquis", ["stopped", "active"]),
        ("Metoprolol tartrate changed to metoprolol succinate.", ["active"]),
        ("Lasix 40 mg daily. Diet changed to low salt, aspirin 81 mg daily.", ["active", "active"]),
        ("Tramadol 50 mg - prn - completed", ["stopped"]),
        ("Amoxicillin 500 mg TID, completed 10 day course.", ["stopped"]),
        ("On lisinopril, completed PT.", ["active"]),
        ("On lisinopril, stopped smoking 2010.", ["active"]),
        ("Takes lisinopril, stopped metoprolol.", ["active", "stopped"]),
        ("Started lisinopril, stopped metoprolol.", ["active", "stopped"]),
        ("On lisinopril, which was stopped.", ["stopped"]),
        ("He was on Prozac for a while, but this was then stopped.", ["stopped"]),
        ("She started on Arimidex, but unfortunately she did not tolerate it.", ["stopped"]),
        ("Start prednisone 40 mg daily for 5 days, then stop.", ["active"]),
        ("D/c on ASA 81.", ["active"]),
        ("Discharged home on aspirin.", ["active"]),
        ("D/c aspirin.", ["stopped"]),
        ("Ibrutinib -> d/c'd, switch to venetoclax.", ["stopped", "active"]),
        ("EpiPen not indicated. Statin and aspirin not needed.", []),
        ("COPD, FEV1 42% pred.", []),
        ("COPD on pred 20 mg daily.", ["active"]),
    ],
)
def test_the_status_of_medications_in_lists(coder: Coder, text: str, expected: list[str]) -> None:
    assert list(_statuses(coder, text, "MedicationStatement").values()) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ROS: +fatigue, +HA, -CP, -SOB, -N/V, +rash", {"HA": "", "CP": "N", "SOB": "N", "N/V": "N", "rash": ""}),
        ("ROS: +fever -CP -HA", {"fever": "", "CP": "N", "HA": "N"}),
        ("CAD s/p PCI, GERD, BPH", {"CAD": "", "PCI": "O", "GERD": "", "BPH": ""}),
        ("s/p fall, hip fracture", {"hip fracture": ""}),
        ("s/p stroke and MI", {"stroke": "O", "MI": "O"}),
        ("s/p CABG, AVR", {"CABG": "O", "AVR": "O"}),
        ("MDD severe w/o psychosis, PTSD", {"MDD": "", "psychosis": "N", "PTSD": ""}),
        ("Denies psychosis, mania.", {"psychosis": "N", "mania": "N"}),
        ("HIV nonreactive.", {"HIV": "N"}),
        ("HIV - non-reactive", {"HIV": "N"}),
        ("COVID - not detected", {"COVID": "N"}),
        ("Newborn screen normal for PKU, cystic fibrosis.", {"PKU": "N", "cystic fibrosis": "N"}),
        ("Signs of hypoglycemia discussed.", {"hypoglycemia": "H"}),
        ("Signs of pneumonia on CXR.", {"pneumonia": ""}),
        ("Side effects of methotrexate including pneumonitis reviewed.", {"pneumonitis": "H"}),
        ("Clinical correlation for seizure disorder recommended.", {"seizure disorder": "H"}),
        ("Emergency contact: wife (has gout). Asthma.", {"gout": "F", "Asthma": ""}),
        ("His wife (gout) lives with him. Asthma.", {"gout": "F", "Asthma": ""}),
    ],
)
def test_signs_and_lists_of_telegraphic_notes(read: Read, text: str, expected: dict[str, str]) -> None:
    assert {words: _flags(read, text, words) for words in expected} == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Growth 50%ile, development normal.", "Growth"),
        ("Drinks 2 glasses of wine.", "glasses"),
        ("Enrolled in a heart failure trial.", "heart failure"),
        ("Member of a diabetes support group.", "diabetes"),
        ("Placed in the left lateral decubitus position.", "decubitus"),
        ("The bone was passed out as specimen.", "passed out"),
        ("A curette was used to scrape along the sac.", "scrape"),
        ("Blood loss, minimal.", "Blood loss"),
        ("Prominent suprapubic fat pad.", "fat pad"),
        ("Tired of blood draws.", "Tired"),
        ("Selective aortic arch angiogram.", "aortic arch"),
        ("Scarring of the posterior part.", "Scarring"),
        ("Interventions will depend on the course.", "depend"),
        ("Follow up to ensure resolution.", "ensure"),
        ("A 10 mm spacer was placed in flexion.", "spacer"),
        ("Progressive changes.", "Progressive"),
        ("A region of low density in the pole.", "low density"),
        ("On the AP image of the foot there is a lucency.", "AP"),
        ("A skin wheal was raised with 1% lidocaine.", "wheal"),
        ("Breathing without accessory muscles.", "accessory muscles"),
        ("A pile of letters.", "pile"),
        ("Hit by a drunk driver.", "drunk"),
        ("ESRD, dialysis by left AV fistula.", "AV fistula"),
        ("Growth plate disturbance.", "Growth"),
        ("The best fit for this joint.", "fit"),
        ("The bowel kept falling into the field.", "falling"),
        ("D/c on ASA 81.", "D/c"),
    ],
)
def test_words_that_are_no_problem_where_they_stand(read: Read, text: str, words: str) -> None:
    assert words not in [entity.text for entity in read.note(text).entities]


@pytest.mark.parametrize(
    ("text", "words", "flags"),
    [
        ("Failed lisinopril (cough).", "cough", "O"),
        ("Stopped metformin (diarrhea).", "diarrhea", "O"),
        ("Takes ibuprofen (headache).", "headache", ""),
        ("MDD, severe w/o psychotic features, PTSD, HTN.", "PTSD", ""),
        ("Migraine w/o aura, HTN.", "HTN", ""),
        ("Dementia without behavioral disturbance, HTN.", "HTN", ""),
        ("Cough without fever, chills, or dyspnea.", "chills", "N"),
        ("AKI, likely ATN in setting of sepsis.", "sepsis", ""),
        ("Hx of DVT on Xarelto.", "DVT", "O"),
        ("Hx of DVT on Xarelto.", "Xarelto", ""),
        ("No longer on Lasix.", "Lasix", "N"),
        ("Tetanus updated.", "Tetanus", "N"),
        ("Left leg ulcer healed.", "leg ulcer", "O"),
        ("Left leg ulcer not healed.", "leg ulcer", ""),
    ],
)
def test_where_what_is_said_ends(read: Read, text: str, words: str, flags: str) -> None:
    assert _flags(read, text, words) == flags


@pytest.mark.parametrize("text", ["Plan d/c to SNF tomorrow.", "d/c lisinopril", "No vag d/c.", "D/C home."])
def test_to_stop_or_to_leave_is_no_curettage(read: Read, text: str) -> None:
    assert "d/c" not in [each.lower() for each in read.texts(text)]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Goal A1c <7%.", 0),
        ("Metoprolol, hold for HR<55 or SBP <100.", 0),
        ("Titrate to MAP >65. Keep SpO2 >92%.", 0),
        ("Transfuse for Hgb <7.", 0),
        ("Call for temp >101.5 F.", 0),
        ("A1c 8.2%, goal <7.", 1),
        ("Heparin held for platelets 48.", 1),
        ("Troponin <0.04.", 1),
    ],
)
def test_a_limit_is_no_result(coder: Coder, text: str, count: int) -> None:
    assert len(_statuses(coder, text, "Observation")) == count


@pytest.mark.parametrize(
    ("text", "words", "code"),
    [
        ("UA: nitrite neg, glucose 500, WBC 20.", "glucose", "5792-7"),
        ("Urine dip: protein neg, glucose trace.", "glucose", "5792-7"),
        ("UA neg, glucose 110.", "glucose", "2345-7"),
        ("UA: negative, glucose 110.", "glucose", "2345-7"),
    ],
)
def test_what_is_found_in_urine_is_no_value_of_blood(read: Read, text: str, words: str, code: str) -> None:
    assert [coding.code for coding in read.one(text, words).codings] == [code]


@pytest.mark.parametrize(
    ("text", "pregnant"),
    [
        ("Asthma: Yes\nAre you pregnant? No", False),
        ("Asthma. Pregnant: N", False),
        ("Asthma. Is she pregnant?", False),
        ("Asthma. Pregnant: [ ] Yes [x] No", False),
        ("Asthma. Pregnant? Yes", True),
        ("Asthma. Pregnant, 20 weeks gestation.", True),
    ],
)
def test_a_question_makes_no_pregnancy(read: Read, text: str, pregnant: bool) -> None:
    codes: list[Any] = [coding.code for coding in read.one(text, "Asthma").codings]
    assert any(code.startswith("O99") for code in codes) is pregnant


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Allergies: Sulfa - rash, PCN", {"Sulfa": ["rash"], "PCN": []}),
        (
            "Allergies: PCN -> anaphylaxis. Shellfish (hives). Latex.",
            {"PCN": ["anaphylaxis"], "Shellfish": ["hives"], "Latex": []},
        ),
        (
            "ALLERGIES: peanuts - anaphylaxis; eggs; bee stings",
            {"peanuts": ["anaphylaxis"], "eggs": [], "bee stings": []},
        ),
        ("Allergies: no known food or drug allergies.", {}),
        ("Allergies: NKDA. Denies latex allergy.", {}),
        ("Allergies: NKDA\nShe has two cats and drinks milk.", {}),
        ("Allergies: latex\n\nShe lives with two cats.", {"latex": []}),
        ("ALLERGIES:\n\nlatex\npeanuts\n", {"latex": [], "peanuts": []}),
        ("Diet: eats eggs and milk. Has two cats. CT with IV contrast.", {}),
    ],
)
def test_allergies_without_a_code_are_kept(coder: Coder, text: str, expected: dict[str, list[str]]) -> None:
    found = [
        each["resource"] for each in _entries(coder, text) if each["resource"]["resourceType"] == "AllergyIntolerance"
    ]
    told = {
        each["code"]["text"]: [
            shown["text"] for reaction in each.get("reaction", ()) for shown in reaction["manifestation"]
        ]
        for each in found
    }
    assert told == expected


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("D/c foley.", "completed"),
        ("Remove foley today.", "completed"),
        ("Foley removed.", "completed"),
        ("The Foley was removed on 3/2.", "completed"),
        ("Foley in place, drain removed.", "active"),
        ("Foley draining clear urine.", "active"),
    ],
)
def test_a_device_that_is_removed(coder: Coder, text: str, status: str) -> None:
    uses = [
        each["resource"] for each in _entries(coder, text) if each["resource"]["resourceType"] == "DeviceUseStatement"
    ]
    assert [use["status"] for use in uses][:1] == [status]


@pytest.mark.parametrize("text", ["Shingrix declined.", "Metoprolol refused by patient.", "Declined metoprolol."])
def test_what_is_declined_is_not_taken(coder: Coder, text: str) -> None:
    assert not _statuses(coder, text, "MedicationStatement")


@pytest.mark.parametrize("text", ["She is worried about cancer.", "Fear of stroke."])
def test_what_is_feared_is_not_there(coder: Coder, text: str) -> None:
    assert not any(entry["resource"]["resourceType"] == "Condition" for entry in _entries(coder, text))


@pytest.mark.parametrize("text", ["Vitals: BP 128/76, pain 0/10", "Pain 0 out of 10."])
def test_none_of_ten_is_no_pain(read: Read, text: str) -> None:
    assert _flags(read, text, "pain" if "pain" in text else "Pain") == "N"


def test_abbreviations_of_newborns_and_genes(read: Read) -> None:
    assert "HUS" not in [entity.text for entity in read.note("NICU: HUS neg for IVH.").entities if entity.codings]
    assert read.one("HUS due to E. coli with schistocytes.", "HUS").codings
    assert "value_text" not in read.one("NSCLC (EGFR neg).", "EGFR").attributes
    assert read.one("EGFR 45", "EGFR").attributes["value"] == 45


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Neuro: No change in mental status.", "change in mental status"),
        ("No change in vision.", "change in vision"),
    ],
)
def test_no_change_is_no_finding_where_the_change_is_one(read: Read, text: str, words: str) -> None:
    assert _flags(read, text, words) == "N"


@pytest.mark.parametrize(
    "text",
    [
        "We will send out pertussis PCR.",
        "The patient will be followed up for signs of sepsis, apnea, and pneumonia.",
        "Monitor for signs of bleeding.",
        "Images were obtained with 10.8 mCi of tetrofosmin.",
        "Given pain medications. Pain control is adequate.",
        "Rubella immune. Immune to hepatitis B.",
        "The catheter was flushed.",
        "There are smokers at home.",
        "Multiple neuropathic medications.",
        "Able to heel and toe walk.",
        "TIA-like event three weeks ago.",
    ],
)
def test_what_is_tested_or_looked_for_is_not_there(coder: Coder, text: str) -> None:
    assert not any(entry["resource"]["resourceType"] == "Condition" for entry in _entries(coder, text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("No change in her chronic back pain.", "chronic back pain"),
        ("Her face is flushed.", "flushed"),
        ("Patient with MCI.", "MCI"),
        ("MRI showed evidence of stroke.", "stroke"),
        ("She has pain.", "pain"),
    ],
)
def test_what_is_there_stays(read: Read, text: str, words: str) -> None:
    assert _flags(read, text, words) == ""
    assert read.one(text, words).codings


@pytest.mark.parametrize(
    ("text", "words", "code"),
    [
        ("Sacral decubitus, stage 2.", "Sacral decubitus", "L89.152"),
        ("He passed out at church.", "passed out", "R55"),
        ("Had a fit, postictal for an hour.", "fit", "R56.9"),
        ("Keeps falling, gait unsteady.", "falling", "R29.6"),
        ("Cervical stenosis at C4-5.", "Cervical stenosis", "M48.02"),
        ("Cervical stenosis, dilated at hysteroscopy.", "Cervical stenosis", "N88.2"),
        ("Loss of consciousness.", "Loss of consciousness", "R55"),
        ("Acne scarring.", "scarring", "L90.5"),
        ("Traumatic AV fistula of the groin.", "AV fistula", "I77.0"),
        ("Wheals on the trunk after peanuts.", "Wheals", "L50.9"),
        ("Right ulnar nerve entrapment.", "ulnar nerve entrapment", "G56.21"),
        ("Thoracoabdominal aneurysm.", "Thoracoabdominal aneurysm", "I71.60"),
        ("Intracranial bleeding on CT.", "Intracranial bleeding", "I62.9"),
    ],
)
def test_and_where_they_are_one(read: Read, text: str, words: str, code: str) -> None:
    (entity,) = (each for each in read.note(text).entities if words in each.text)
    assert [each.code for each in entity.codings if "icd-10" in each.system] == [code]


def test_a_title_between_commas_begins_a_section(coder: Coder) -> None:
    """Where line breaks became commas, a list of medications was one of allergies."""
    text = "ALLERGIES:,  Zyloprim, penicillin.,CURRENT MEDICATIONS,1.  Heparin.,2.  Aldactone.,SOCIAL HISTORY:, None."
    assert list(_statuses(coder, text, "MedicationStatement")) == ["heparin", "aldactone"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Wears Depends for incontinence.", ["Depends"]),
        ("Ensure one can TID.", ["Ensure"]),
        ("Albuterol inhaler with spacer.", ["spacer"]),
        ("Wears glasses for reading.", ["glasses"]),
    ],
)
def test_devices_that_are_called_like_verbs(read: Read, text: str, expected: list[str]) -> None:
    assert [entity.text for entity in read.note(text).entities if entity.type == "device"] == expected


def test_the_risks_of_a_procedure_are_no_findings(read: Read) -> None:
    text = "Risks of the procedure were discussed with the patient including bleeding, infection and paralysis."
    assert [_flags(read, text, words) for words in ("bleeding", "infection", "paralysis")] == ["H", "H", "H"]


def test_vitamins_are_no_vitamin_a(read: Read) -> None:
    assert not [each for each in read.note("Takes vitamins.").entities if each.codings]
    assert read.one("Takes vitamin A 10000 units daily.", "vitamin A").codings
