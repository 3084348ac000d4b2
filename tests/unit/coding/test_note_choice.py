"""The codes of whole short notes, as a coder would choose them; each rule with a note of its own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Literal

import pytest

from fhir_coder.coding.conventions import Conventions
from fhir_coder.model import HCPCS, ICD10CM, RXNORM, SNOMED, CodedNote, Entity, Note
from fhir_coder.pipeline import Coder
from fhir_coder.settings import Settings

_NOTE_DATE = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)

# What the note says, the mention, and the code with the display that the store must have for it.
BY_THE_TEXT = [
    # laterality
    ("Severe left knee pain.", "knee pain", "M25.562", "Pain in left knee"),
    ("Acute otitis media of the right ear.", "Acute otitis media", "H66.91", "Otitis media, unspecified, right ear"),
    ("Acute otitis media.", "Acute otitis media", "H66.90", "Otitis media, unspecified, unspecified ear"),
    ("Rotator cuff tear, right shoulder.", "Rotator cuff tear", "M75.101", "right shoulder"),
    ("Carpal tunnel syndrome, bilateral.", "Carpal tunnel syndrome", "G56.03", "bilateral upper limbs"),
    ("Bilateral cryptorchidism.", "Bilateral cryptorchidism", "Q53.20", "Undescended testicle, unspecified, bilateral"),
    ("Cataract of the left eye.", "Cataract", "H26.9", "Unspecified cataract"),
    ("POAG OU, moderate.", "POAG", "H40.1132", "Primary open-angle glaucoma, bilateral, moderate stage"),
    ("Dry AMD OS.", "Dry AMD", "H35.3120", "left eye"),
    ("Depression, OD last year. AMD.", "AMD", "H35.30", "Unspecified macular degeneration"),
    ("Conjunctivitis of the left eye.", "Conjunctivitis", "H10.9", "Unspecified conjunctivitis"),
    ("Ovarian cyst, right.", "Ovarian cyst", "N83.201", "Unspecified ovarian cyst, right side"),
    ("DVT of the right leg.", "DVT", "I82.401", "unspecified deep veins of right lower extremity"),
    ("Knee pain.", "Knee pain", "M25.569", "Pain in unspecified knee"),
    # site
    ("Osteoarthritis of the right hip.", "Osteoarthritis", "M16.11", "Unilateral primary osteoarthritis, right hip"),
    ("Bilateral knee osteoarthritis.", "knee osteoarthritis", "M17.0", "Bilateral primary osteoarthritis of knee"),
    ("Stage 3 pressure ulcer of the left heel.", "pressure ulcer", "L89.623", "Pressure ulcer of left heel, stage 3"),
    ("Foot ulcer on the right foot.", "Foot ulcer", "L97.519", "other part of right foot with unspecified severity"),
    ("Cellulitis of the right lower leg.", "Cellulitis", "L03.115", "Cellulitis of right lower limb"),
    ("Abdominal pain in the RLQ.", "Abdominal pain", "R10.31", "Right lower quadrant pain"),
    ("Adenocarcinoma of the left lower lobe.", "Adenocarcinoma", "C34.32", "lower lobe, left bronchus or lung"),
    ("A. Colon, sigmoid, biopsy: Adenocarcinoma.", "Adenocarcinoma", "C18.7", "sigmoid colon"),
    ("B. Lung, right upper lobe: Carcinoma.", "Carcinoma", "C34.11", "upper lobe, right bronchus or lung"),
    ("C. Skin, left cheek: Basal cell carcinoma.", "Basal cell carcinoma", "C44.319", "other parts of face"),
    ("D. Breast, left: Invasive ductal carcinoma.", "Invasive ductal carcinoma", "C50.912", "left female"),
    ("Prostate: Adenocarcinoma.", "Adenocarcinoma", "C61", "Malignant neoplasm of prostate"),
    ("Fracture of the distal fibula.", "Fracture", "S82.839A", "upper and lower end of unspecified fibula"),
    ("Fracture.", "Fracture", "T14.8XXA", "Other injury of unspecified body region"),
    ("Long-term opioid use.", "Long-term opioid use", "Z79.891", "Long term (current) use of opiate analgesic"),
    # severity, acuity, stage, course
    ("Migraine w/ aura.", "Migraine w/ aura", "G43.109", "Migraine with aura, not intractable"),
    ("COPD w/ acute exacerbation.", "COPD", "J44.1", "with (acute) exacerbation"),
    ("Diverticulitis w/o perforation.", "Diverticulitis", "K57.92", "without perforation or abscess"),
    ("Diverticulitis with abscess.", "Diverticulitis", "K57.80", "with perforation and abscess"),
    ("Diverticulitis. Abscess of the arm.", "Diverticulitis", "K57.92", "without perforation or abscess"),
    ("Dementia with agitation.", "Dementia", "F03.911", "with agitation"),
    ("Dementia. Agitation.", "Dementia", "F03.90", "without behavioral disturbance"),
    ("Full thickness rotator cuff tear, R.", "Full thickness rotator cuff tear", "M75.121", "Complete rotator cuff"),
    ("Traumatic rotator cuff tear, right.", "Traumatic rotator cuff tear", "S46.011A", "rotator cuff of right"),
    ("Mild persistent asthma with acute exacerbation.", "Mild persistent asthma", "J45.31", "(acute) exacerbation"),
    ("Asthma without acute exacerbation.", "Asthma", "J45.909", "Unspecified asthma, uncomplicated"),
    ("Heart failure, acute on chronic.", "Heart failure", "I50.9", "Heart failure, unspecified"),
    ("Right heart failure, acute.", "Right heart failure", "I50.811", "Acute right heart failure"),
    ("Depression. Major depressive disorder, recurrent, moderate.", "Major depressive disorder", "F33.1", "moderate"),
    ("Chronic migraine, intractable.", "Chronic migraine", "G43.719", "intractable, without status migrainosus"),
    ("Duodenal ulcer.", "Duodenal ulcer", "K26.9", "Duodenal ulcer, unspecified as acute or chronic"),
    ("Obesity class 2.", "Obesity class", "E66.812", "Obesity, class 2"),
    ("Acute blood loss anemia.", "blood loss anemia", "D62", "Acute posthemorrhagic anemia"),
    ("Hepatitis C, chronic.", "Hepatitis C", "B18.2", "Chronic viral hepatitis C"),
    ("Abdominal pain, severe.", "Abdominal pain", "R10.9", "Unspecified abdominal pain"),
    ("Acute liver failure.", "Acute liver failure", "K72.00", "Acute and subacute hepatic failure without coma"),
    # encounter
    ("Left ankle sprain.", "ankle sprain", "S93.402A", "left ankle, initial encounter"),
    ("Left ankle sprain, here for follow-up.", "ankle sprain", "S93.402D", "left ankle, subsequent encounter"),
    ("CC: follow-up\nHPI: Left ankle sprain.", "ankle sprain", "S93.402D", "left ankle, subsequent encounter"),
    ("Anaphylaxis.", "Anaphylaxis", "T78.2XXA", "Anaphylactic shock, unspecified, initial encounter"),
    ("Sequela of left ankle sprain.", "ankle sprain", "S93.402S", "left ankle, sequela"),
    ("Closed fracture of the left distal radius.", "Closed fracture", "S52.502A", "encounter for closed fracture"),
    ("Open fracture of the right tibia.", "fracture", "S82.201B", "initial encounter for open fracture type I or II"),
    # "with" and combination codes
    ("Type 2 diabetes and CKD stage 3.", "Type 2 diabetes", "E11.22", "mellitus with diabetic chronic kidney disease"),
    ("Type 2 diabetes and CKD stage 3.", "CKD stage 3", "N18.30", "Chronic kidney disease, stage 3 unspecified"),
    ("Type 1 diabetes. Gastroparesis.", "Gastroparesis", "E10.43", "Type 1 diabetes mellitus with diabetic autonomic"),
    ("Diabetes. Peripheral neuropathy.", "Peripheral neuropathy", "E11.42", "diabetic polyneuropathy"),
    ("Diabetes. Neuropathy not due to diabetes.", "Neuropathy", "G62.9", "Polyneuropathy, unspecified"),
    ("Type 1 diabetes. Diabetic neuropathy.", "Diabetic neuropathy", "E10.40", "mellitus with diabetic neuropathy"),
    ("Type 2 diabetes, poorly controlled.", "Type 2 diabetes", "E11.65", "Type 2 diabetes mellitus with hyperglycemia"),
    ("Type 2 diabetes with hypoglycemia.", "hypoglycemia", "E11.649", "with hypoglycemia without coma"),
    ("Type 2 diabetes with a foot ulcer.", "Type 2 diabetes", "E11.621", "Type 2 diabetes mellitus with foot ulcer"),
    ("Hypertension and heart failure.", "Hypertension", "I11.0", "Hypertensive heart disease with heart failure"),
    ("Hypertension, CKD stage 4.", "Hypertension", "I12.9", "Hypertensive chronic kidney disease with stage 1"),
    ("Hypertension, ESRD.", "Hypertension", "I12.0", "Hypertensive chronic kidney disease with stage 5"),
    ("Hypertension, heart failure and CKD stage 4.", "Hypertension", "I13.0", "failure and stage 1 through stage 4"),
    ("Hypertension, heart failure and ESRD.", "Hypertension", "I13.2", "with heart failure and with stage 5"),
    ("Hypertension, heart failure and CKD stage 4.", "heart failure", "I50.9", "Heart failure, unspecified"),
    ("Hypertension. No heart failure.", "Hypertension", "I10", "Essential (primary) hypertension"),
    ("Hypertension. Father had heart failure.", "Hypertension", "I10", "Essential (primary) hypertension"),
    ("CAD with angina.", "CAD", "I25.119", "with unspecified angina pectoris"),
    ("COPD with pneumonia.", "COPD", "J44.0", "with (acute) lower respiratory infection"),
    ("Gallstones with acute cholecystitis.", "Gallstones", "K80.00", "of gallbladder with acute cholecystitis"),
    ("BPH with urinary retention.", "BPH", "N40.1", "with lower urinary tract symptoms"),
    ("Anemia due to CKD.", "Anemia", "D63.1", "Anemia in chronic kidney disease"),
    ("Anemia. CKD.", "Anemia", "D64.9", "Anemia, unspecified"),
    ("Dementia due to Alzheimer's disease.", "Dementia", "F02.80", "Dementia in other diseases classified elsewhere"),
    ("Dementia (Alzheimer's disease).", "Dementia", "F02.80", "Dementia in other diseases classified elsewhere"),
    # a leaf of which the note says no more stays
    ("Diabetic retinopathy.", "Diabetic retinopathy", "E11.319", "with unspecified diabetic retinopathy"),
    ("Left bundle branch block.", "Left bundle branch block", "I44.7", "Left bundle-branch block"),
    ("Paratyphoid fever.", "Paratyphoid fever", "A01.4", "Paratyphoid fever, unspecified"),
    ("Hydrosalpinx.", "Hydrosalpinx", "N70.11", "Chronic salpingitis"),
    ("Blepharitis.", "Blepharitis", "H01.009", "Unspecified blepharitis unspecified eye"),
    ("MDD, recurrent, severe without psychotic features.", "MDD", "F33.2", "without psychotic"),
    ("Left wrist fracture.", "wrist fracture", "S62.102A", "left wrist"),
    ("Cellulitis of left foot.", "Cellulitis", "L03.116", "Cellulitis of left lower limb"),
    ("E. coli sepsis on ceftriaxone.", "E. coli sepsis", "A41.51", "Escherichia coli"),
    ("C. difficile colitis.", "C. difficile colitis", "A04.72", "Clostridium difficile"),
    ("Stage 2 pressure ulcer of sacrum.", "Stage 2 pressure ulcer", "L89.152", "sacral region, stage 2"),
    ("Pulmonary embolism with acute cor pulmonale.", "Pulmonary embolism with acute cor pulmonale", "I26.09", "Other"),
    ("Mild pre-eclampsia.", "Mild pre-eclampsia", "O14.00", "Mild to moderate pre-eclampsia"),
    # the same problem, elsewhere
    ("Acute systolic heart failure.\nPlan: heart failure: diuresis.", "heart failure", "I50.21", "heart failure"),
    ("Left hip osteoarthritis. Plan: hip osteoarthritis.", "hip osteoarthritis", "M16.12", "left hip"),
    # pregnancy
    ("She is 32 weeks pregnant. Anemia.", "Anemia", "O99.013", "Anemia complicating pregnancy, third trimester"),
    ("20 weeks gestation with UTI.", "UTI", "O23.42", "infection of urinary tract in pregnancy, second trimester"),
    ("31 y/o G2P1 at 28w3d by LMP. Hypothyroidism.", "Hypothyroidism", "O99.283", "third trimester"),
    ("Son was born at 32 weeks gestation. Anemia.", "Anemia", "D64.9", "Anemia, unspecified"),
    ("10 weeks pregnant. Severe preeclampsia.", "Severe preeclampsia", "O14.10", "unspecified trimester"),
    ("Pregnant. Preeclampsia.", "Preeclampsia", "O14.90", "Unspecified pre-eclampsia, unspecified trimester"),
    ("Not pregnant. Anemia.", "Anemia", "D64.9", "Anemia, unspecified"),
    ("Screening for diabetes.", "diabetes", "Z13.1", "Encounter for screening for diabetes mellitus"),
    ("Here for screening for prostate cancer.", "prostate cancer", "Z12.5", "for malignant neoplasm of prostate"),
]  # fmt: skip

_SEXES = Literal["female", "male"]

# Sex, birth date, what the note says, the mention, and its code ("": none).
BY_THE_PATIENT: list[tuple[_SEXES | None, date | None, str, str, str]] = [
    (None, date(2026, 2, 20), "Jaundice.", "Jaundice", "P59.9"),
    (None, date(1960, 2, 20), "Jaundice.", "Jaundice", "R17"),
    (None, None, "Jaundice.", "Jaundice", "R17"),
    (None, date(2026, 2, 20), "Sepsis.", "Sepsis", "P36.9"),
    (None, date(2025, 9, 1), "Sepsis.", "Sepsis", "A41.9"),
    (None, date(1960, 1, 1), "Neonatal jaundice.", "Neonatal jaundice", "R17"),
    (None, date(1950, 1, 1), "Failure to thrive.", "Failure to thrive", "R62.7"),
    (None, date(2024, 1, 1), "Failure to thrive.", "Failure to thrive", "R62.51"),
    ("male", None, "Breast cancer, left breast.", "Breast cancer", "C50.922"),
    ("female", None, "Breast cancer, left breast.", "Breast cancer", "C50.912"),
    ("female", None, "Prostate cancer.", "Prostate cancer", ""),
    (None, None, "Prostate cancer.", "Prostate cancer", "C61"),
    ("male", None, "Ovarian cyst.", "Ovarian cyst", ""),
    ("male", None, "Pregnant. Anemia.", "Anemia", "D64.9"),
    ("female", date(2022, 1, 1), "Preeclampsia.", "Preeclampsia", ""),
    ("female", date(1995, 1, 1), "Preeclampsia, postpartum.", "Preeclampsia", "O14.95"),
    ("female", date(1995, 1, 1), "Postpartum with anemia.", "anemia", "O99.03"),
    ("female", date(1995, 1, 1), "Postpartum hemorrhage in 2015. Now anemia.", "anemia", "D64.9"),
]


@pytest.fixture(scope="module")
def coder() -> Iterator[Coder]:
    """A coder whose mentions are the dictionary's: which words make a mention is not what is tested here."""
    loaded = Coder.from_settings(Settings.load(encoder="none", recogniser="none"))
    yield loaded
    loaded.store.close()


def _entity(coded: CodedNote, words: str) -> Entity:
    """Return the last entity with these words: of the same ones, the later is the one that says less."""
    found = [entity for entity in coded.entities if entity.text == words]
    assert found, f"{words!r} is none of {[entity.text for entity in coded.entities]}"
    return found[-1]


def _code(entity: Entity) -> str:
    coding = entity.coding(ICD10CM)
    return coding.code if coding else ""


@pytest.mark.parametrize(("text", "words", "code", "display"), BY_THE_TEXT, ids=lambda each: str(each)[:40])
def test_what_the_note_says(coder: Coder, text: str, words: str, code: str, display: str) -> None:
    entity = _entity(coder(Note(text=text)), words)
    assert _code(entity) == code
    coding = entity.coding(ICD10CM)
    assert coding is not None
    assert display in coding.display
    concept = coder.store.concept(ICD10CM, code)
    assert concept is not None
    assert concept.codable
    assert coding.display == concept.display


@pytest.mark.parametrize(("sex", "born", "text", "words", "code"), BY_THE_PATIENT)
def test_what_is_known_of_the_patient(
    coder: Coder, sex: _SEXES | None, born: date | None, text: str, words: str, code: str
) -> None:
    note = Note(text=text, sex=sex, birth_date=born, date=_NOTE_DATE)
    assert _code(_entity(coder(note), words)) == code


def test_every_step_leads_from_the_one_before_to_the_code(coder: Coder) -> None:
    for text, *_ in BY_THE_TEXT:
        for entity in coder(Note(text=text)).entities:
            for coding in entity.codings:
                assert coding.reason
                befores = [step.before for step in coding.steps[1:]]
                assert befores == [step.after for step in coding.steps[:-1]]
                assert not coding.steps or coding.steps[-1].after == coding.code
                for step in coding.steps:
                    assert all(0 <= start < end <= len(text) for start, end in step.spans)
            chosen = {(coding.system, coding.code) for coding in entity.codings}
            assert chosen <= {(each.system, each.code) for each in entity.candidates}
            assert all(each.reason for each in entity.candidates)


def test_a_step_quotes_the_words_that_it_rests_on(coder: Coder) -> None:
    text = "Type 2 diabetes. Sees nephrology for CKD stage 3."
    coding = _entity(coder(Note(text=text)), "Type 2 diabetes").coding(ICD10CM)
    assert coding is not None
    step = coding.steps[-1]
    ((start, end),) = step.spans
    assert (step.rule, step.before, step.after, text[start:end]) == ("combination", "E11.9", "E11.22", "CKD stage 3")
    assert f'"CKD stage 3" at {start}-{end}' in step.reason
    assert "I.A.15" in step.reason


def test_what_is_not_told_is_named(coder: Coder) -> None:
    coding = _entity(coder(Note(text="Knee pain.")), "Knee pain").coding(ICD10CM)
    assert coding is not None
    assert "does not tell laterality" in coding.reason


def test_a_contradiction_leaves_the_unspecified_code(coder: Coder) -> None:
    text = "Major depressive disorder, moderate to severe."
    coding = _entity(coder(Note(text=text)), "Major depressive disorder").coding(ICD10CM)
    assert coding is not None
    assert coding.code == "F32.9"
    assert "contradicts itself on severity" in coding.reason
    coded = coder(Note(text="Type 1 diabetes. Type 2 diabetes. CKD."))
    assert [_code(entity) for entity in coded.entities] == ["E10.9", "E11.9", "N18.9"]
    assert "contradiction" in {remark.kind for remark in coded.remarks}


def test_several_complications_are_all_named(coder: Coder) -> None:
    coded = coder(Note(text="Type 2 diabetes with CKD stage 3 and a foot ulcer."))
    base = _entity(coded, "Type 2 diabetes")
    assert _code(base) == "E11.22"
    assert "E11.621" in {each.code for each in base.candidates}
    assert ("E11.22", "E11.621") in {remark.codes for remark in coded.remarks if remark.kind == "combination"}


@pytest.mark.parametrize(
    ("text", "words", "code"),
    [
        ("Type 2 diabetes mellitus with diabetic polyneuropathy.", "Type 2 diabetes mellitus", "E11.42"),
        ("Type 1 diabetes with diabetic polyneuropathy.", "Type 1 diabetes", "E10.42"),
        ("T2DM. Exam: diabetic nephropathy.", "T2DM", "E11.21"),
        ("T2DM. No diabetic nephropathy.", "T2DM", "E11.9"),
        ("T2DM. Mother had diabetic nephropathy.", "T2DM", "E11.9"),
    ],
)
def test_a_diabetic_complication_is_one_of_the_diabetes(coder: Coder, text: str, words: str, code: str) -> None:
    assert _code(_entity(coder(Note(text=text)), words)) == code


def test_both_sides_where_no_code_has_both(coder: Coder) -> None:
    coded = coder(Note(text="Bilateral shoulder pain."))
    entity = _entity(coded, "shoulder pain")
    assert _code(entity) == "M25.511"
    assert "M25.512" in {each.code for each in entity.candidates}


@pytest.mark.parametrize(
    ("text", "words", "disease", "code"),
    [
        ("PMH: breast cancer in 2010.", "breast cancer", "C50.919", "Z85.3"),
        ("History of myocardial infarction.", "myocardial infarction", "I21.9", "I25.2"),
        ("PMH: stroke in 2015.", "stroke", "I63.9", "Z86.73"),
        ("PMH: kidney stones.", "kidney stones", "N20.0", "Z87.442"),
    ],
)
def test_what_is_over_keeps_its_code_and_names_the_claim_s(
    coder: Coder, text: str, words: str, disease: str, code: str
) -> None:
    coded = coder(Note(text=text))
    entity = _entity(coded, words)
    assert entity.assertion.temporality == "historical"
    assert _code(entity) == disease
    assert code in {each.code for each in entity.candidates}
    assert (code,) in {remark.codes for remark in coded.remarks if remark.kind == "history"}


def test_what_a_relative_has_is_never_the_patient_s_history(coder: Coder) -> None:
    coded = coder(Note(text="FH: mother with breast cancer. Sister had a stroke in 2015."))
    entity = _entity(coded, "breast cancer")
    assert (_code(entity), entity.assertion.experiencer) == ("C50.919", "family")
    assert "Z80.3" in {each.code for each in entity.candidates}
    codes = {each.code for entity in coded.entities for each in entity.candidates}
    assert not any(code.startswith(("Z85", "Z86", "Z87")) for code in codes)
    assert {remark.kind for remark in coded.remarks} == {"family-history"}


@pytest.mark.parametrize("text", ["No history of breast cancer.", "Denies family history of breast cancer."])
def test_what_is_denied_has_no_history(coder: Coder, text: str) -> None:
    coded = coder(Note(text=text))
    assert not any(each.code.startswith("Z8") for entity in coded.entities for each in entity.candidates)
    assert coded.remarks == ()


def test_what_is_screened_for_is_not_there(coder: Coder) -> None:
    entity = _entity(coder(Note(text="Screening for diabetes.")), "diabetes")
    assert entity.assertion.certainty == "hypothetical"
    assert [coding.system for coding in entity.codings] == [ICD10CM]


def test_excludes1_is_reported(coder: Coder) -> None:
    coded = coder(Note(text="Epilepsy. Seizure."))
    assert [remark.codes for remark in coded.remarks if remark.kind == "excludes1"] == [("G40.909", "R56.9")]


def test_the_cause_goes_first(coder: Coder) -> None:
    coded = coder(Note(text="Dementia due to Alzheimer's disease."))
    (order,) = [remark.codes for remark in coded.remarks if remark.kind == "sequence"]
    assert order == ("G30.9", "F02.80")
    assert ("G30.9", "F02.80") in {remark.codes for remark in coded.remarks if remark.kind == "code-first"}


def test_a_missing_cause_is_reported(coder: Coder) -> None:
    conventions = Conventions(coder.store)
    (remark,) = conventions.remarks({"D63.1": ((0, 6),)})
    assert (remark.kind, remark.codes) == ("code-first", ("D63.1",))
    assert "no such code was found" in remark.text
    (remark,) = conventions.remarks({"D63.1": ((0, 6),), "N18.9": ((14, 17),)})
    assert (remark.kind, remark.codes) == ("code-first", ("N18.9", "D63.1"))
    assert conventions.ordered(["D63.1", "N18.9"]) == ["N18.9", "D63.1"]


def test_a_code_for_the_other_sex_says_why_it_is_not_chosen(coder: Coder) -> None:
    coded = coder(Note(text="Prostate cancer.", sex="female"))
    (candidate,) = [each for each in coded.entities[0].candidates if each.code == "C61"]
    assert "male patients only" in candidate.reason
    assert "female" in candidate.reason


def test_the_weeks_of_gestation_are_written_beside(coder: Coder) -> None:
    coded = coder(Note(text="32 weeks pregnant with anemia."))
    assert ("O99.013", "Z3A.32") in {remark.codes for remark in coded.remarks if remark.kind == "use-additional"}
    coded = coder(Note(text="Pregnant, with anemia."))
    assert not any(code.startswith("Z3A") for remark in coded.remarks for code in remark.codes)


def test_a_male_pregnancy_is_a_contradiction(coder: Coder) -> None:
    coded = coder(Note(text="She is pregnant. Anemia.", sex="male"))
    assert [remark.kind for remark in coded.remarks if remark.kind == "contradiction"] == ["contradiction"]


def test_a_urinary_catheter_is_a_device(coder: Coder) -> None:
    entity = _entity(coder(Note(text="Urinary catheter in place.")), "Urinary catheter")
    assert entity.coding(HCPCS) is not None
    assert {each.system for each in entity.candidates} <= {HCPCS, SNOMED}
    assert entity.coding(RXNORM) is None


def test_what_the_clause_denies_is_no_detail(coder: Coder) -> None:
    for text in ("Asthma with no exacerbation.", "Asthma. Exacerbation of COPD."):
        coded = coder(Note(text=text))
        assert _code(next(entity for entity in coded.entities if entity.text == "Asthma")) == "J45.909"
