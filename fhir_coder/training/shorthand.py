"""Clinical notes in telegraphic style, made from templates with all eight types marked: what no public corpus has.

Sentences, templates and the lists below are our own; most names come from the starter tables under mappings/starter.
The same number of notes is always the same notes. They stand for no patient.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from random import Random

from fhir_coder.corpora.annotated import AnnotatedNote, Annotation
from fhir_coder.model import EntityType
from fhir_coder.tables import folder, read_table, split

_SEED = 1846
_SLOT = re.compile(r"\{(\w+)\}")
_LONGEST_NAME = 60

_ANATOMY = (
    "abdomen|abd|chest|neck|back|low back|lower back|R knee|L knee|left knee|right shoulder|L shoulder|left hip|R hip|"
    "right ankle|L ankle|left foot|R foot|great toe|left hand|R hand|wrist|elbow|forearm|RUQ|LLQ|RLQ|LUQ|epigastrium|"
    "flank|left flank|groin|scalp|face|throat|oropharynx|tongue|gums|nares|sinuses|TMs|left ear|R ear|right eye|L eye|"
    "pupils|sclera|conjunctivae|lungs|LLL|RLL|RUL|LUL|RML|left lower lobe|right upper lobe|lung bases|heart|aorta|"
    "aortic valve|mitral valve|LAD|RCA|left circumflex|carotids|femoral artery|left ventricle|LV|RV|left atrium|"
    "pericardium|liver|spleen|pancreas|gallbladder|common bile duct|kidney|kidneys|left kidney|ureter|bladder|prostate|"
    "uterus|cervix|ovary|left ovary|adnexa|breast|left breast|R breast|axilla|rectum|colon|sigmoid colon|cecum|stomach|"
    "duodenum|esophagus|small bowel|thyroid|parathyroids|adrenals|brain|cerebellum|left MCA|basal ganglia|spinal cord|"
    "C5-C6|L4-L5|cervical spine|L-spine|T-spine|lumbar spine|"
    "femur|tibia|distal radius|femoral head|ribs|sternum|pelvis|"
    "sacrum|rotator cuff|ACL|medial meniscus|Achilles tendon|quadriceps|calf|calves|LE|BLE|RLE|LLE|RUE|LUE|extremities|"
    "lower extremities|upper extremities|skin|nail bed|lymph nodes|supraclavicular nodes|cranial nerves|median nerve|"
    "ulnar nerve|optic disc|retina|macula|lens|tonsils|larynx|vocal cords|trachea|mediastinum|hilum|pleura|diaphragm"
).split("|")
_GENES = (
    "BRCA1|BRCA2|EGFR|KRAS|NRAS|BRAF|ALK|ROS1|RET|MET|HER2|ERBB2|PIK3CA|TP53|PTEN|APC|MLH1|MSH2|MSH6|PMS2|JAK2|CALR|"
    "MPL|BCR-ABL|FLT3|NPM1|IDH1|IDH2|CEBPA|CFTR|HFE|MTHFR|factor V Leiden|F5|F2|SERPINA1|ATP7B|HTT|SCN5A|KCNQ1|KCNH2|"
    "MYH7|MYBPC3|LMNA|TTR|FBN1|COL3A1|LDLR|PCSK9|APOE|DMD|SMN1|GBA|LRRK2|PALB2|CHEK2|ATM|VHL|NF1|TSC1|MEN1|CDH1|"
    "CYP2C19|CYP2D6|CYP2C9|VKORC1|HLA-B27|HLA-B*57:01|HLA-B*5701|HLA-DQ2|UGT1A1|DPYD|TPMT|G6PD|PD-L1|MYCN|NTRK1|FGFR2"
).split("|")
_DEVICES = (
    "PICC|PICC line|central line|CVC|port-a-cath|port|Foley|Foley catheter|NG tube|NGT|G-tube|PEG|PEG tube|ETT|trach|"
    "chest tube|JP drain|pigtail catheter|nephrostomy tube|ureteral stent|drug-eluting stent|DES|BMS|pacemaker|PPM|ICD|"
    "AICD|BiV ICD|LVAD|IABP|IVC filter|Holter|Holter monitor|CPAP|BiPAP|vent|ventilator|nasal cannula|NC|nonrebreather|"
    "incentive spirometer|nebulizer|spacer|insulin pump|CGM|glucometer|lancets|walker|rolling walker|rollator|cane|"
    "quad cane|crutches|wheelchair|power wheelchair|hospital bed|commode|bedside commode|shower chair|knee brace|"
    "ankle brace|AFO|CAM boot|walking boot|thumb spica splint|sling|cast|short arm cast|C-collar|TLSO|wound vac|"
    "compression stockings|TED hose|SCDs|hearing aids|glasses|dentures|IUD|Mirena|pessary|VP shunt|EVD|arterial line|"
    "A-line|PIV|18g IV|tunneled dialysis catheter|permacath|AV graft|prosthetic valve|mechanical valve|"
    "spinal cord stimulator"
).split("|")
_PROCEDURES = (
    "CABG|CABG x3|PCI|cath|LHC|TAVR|ablation|cardioversion|DCCV|TEE|TTE|echo|EKG|ECG|stress test|CXR|chest x-ray|CT|"
    "CT head|CT A/P|CTA chest|CT abd/pelvis|MRI|MRI brain|MRI L-spine|US|RUQ US|doppler|LE dopplers|V/Q scan|PET/CT|"
    "bone scan|DEXA|mammogram|EGD|colonoscopy|c-scope|ERCP|MRCP|bronch|bronchoscopy|thoracentesis|paracentesis|LP|"
    "lumbar puncture|bone marrow bx|biopsy|bx|FNA|excisional bx|I&D|debridement|appy|appendectomy|chole|lap chole|"
    "cholecystectomy|hernia repair|hysterectomy|TAH/BSO|C-section|D&C|tubal ligation|vasectomy|TURP|cystoscopy|"
    "nephrectomy|HD|hemodialysis|dialysis|PD|transfusion|2u pRBC|plasmapheresis|intubation|extubation|"
    "mechanical ventilation|CPR|PT|OT|PT/OT|speech therapy|XRT|radiation|chemo|chemotherapy|mastectomy|lumpectomy|"
    "thyroidectomy|tonsillectomy|T&A|TKA|R TKA|L THA|THR|ORIF|arthroscopy|ACL repair|laminectomy|spinal fusion|"
    "carpal tunnel release|epidural injection|steroid injection|cortisone shot|nerve block|cataract surgery|"
    "craniotomy|EEG|EMG|sleep study|PFTs|spirometry|flu shot|Tdap|wound care|skin graft|BKA|amputation|Pap|Pap smear"
).split("|")
_LABS = (
    "CBC|BMP|CMP|LFTs|TSH|free T4|A1c|HbA1c|Hgb|H/H|Hct|WBC|"
    "plt|plts|Na|K|Cl|CO2|bicarb|BUN|Cr|creat|creatinine|glucose|"
    "glu|Ca|Mg|Phos|albumin|alb|AST|ALT|alk phos|T bili|"
    "lipase|amylase|troponin|trop|BNP|NT-proBNP|CK|CK-MB|D-dimer|INR|"
    "PT|PTT|ESR|CRP|lactate|ABG|VBG|UA|urine cx|blood cx|BCx|sputum cx|wound cx|urine preg|UPT|HCG|beta hCG|PSA|CEA|"
    "CA-125|AFP|ferritin|iron|TIBC|B12|folate|vit D|vitamin D|lipids|LDL|HDL|TG|triglycerides|cholesterol|uric acid|"
    "ANA|RF|anti-CCP|HIV|HCV Ab|HBsAg|RPR|strep|rapid strep|flu swab|COVID PCR|UDS|tox screen|EtOH level|digoxin level|"
    "tacrolimus level|microalbumin|eGFR|GFR|retic|haptoglobin|LDH|SPEP|procalcitonin|cortisol|ammonia|osm|FENa|"
    "POC glucose|FSBG"
).split("|")
_VITALS = (
    "BP|HR|RR|T|Temp|Tmax|SpO2|O2 sat|sats|pulse|P|wt|weight|BMI|blood pressure|heart rate|respiratory rate"
).split("|")
_DISEASES = (
    "HTN|HLD|DM|DM2|T2DM|IDDM|CAD|CHF|HFrEF|HFpEF|AF|afib|a-fib|COPD|OSA|CKD|CKD 3|ESRD|AKI|ARF|GERD|PUD|GIB|IBS|IBD|"
    "UC|Crohn's|NASH|cirrhosis|HCV|HBV|HIV|TB|CVA|TIA|PE|DVT|PNA|CAP|HAP|UTI|URI|AOM|OM|cellulitis|sepsis|MRSA|C diff|"
    "SBO|ileus|pancreatitis|cholecystitis|appendicitis|diverticulitis|NSTEMI|STEMI|MI|"
    "ACS|AS|MR|PVD|PAD|AAA|RA|OA|DJD|SLE|"
    "gout|BPH|prostate CA|breast CA|lung CA|colon ca|NSCLC|DLBCL|CLL|AML|MM|melanoma|BCC|SCC|anemia|IDA|ITP|SCD|MDD|"
    "depression|GAD|anxiety|bipolar d/o|PTSD|ADHD|schizophrenia|EtOH abuse|sz d/o|seizures|MS|PD|dementia|migraine|"
    "hypothyroidism|hyperK|hypoNa|hyponatremia|DKA|HHS|obesity|eczema|psoriasis|asthma|allergic rhinitis|otitis|"
    "R hip fx|distal radius fx|ankle sprain|rotator cuff tear|LBP|sciatica|glaucoma|cataracts|pre-eclampsia|PCOS"
).split("|")
_SYMPTOMS = (
    "CP|SOB|DOE|PND|orthopnea|N/V|N/V/D|n/v|nausea|vomiting|diarrhea|constipation|abd pain|fever|F/C|f/c/s|chills|NS|"
    "night sweats|wt loss|weight loss|fatigue|malaise|HA|h/a|headache|dizziness|lightheadedness|syncope|LOC|palps|"
    "palpitations|LE edema|edema|cough|hemoptysis|wheezing|sore throat|ST|congestion|rhinorrhea|ear pain|dysuria|"
    "hematuria|frequency|urgency|incontinence|BRBPR|melena|hematemesis|rash|itching|pruritus|back pain|joint pain|"
    "knee pain|swelling|numbness|tingling|weakness|L arm weakness|slurred speech|facial droop|blurry vision|diplopia|"
    "insomnia|SI|HI|anorexia|poor appetite|dysphagia|odynophagia|hoarseness|jaundice|AMS|confusion|tremor|falls|TTP|"
    "tenderness|guarding|rebound|JVD|rales|crackles|rhonchi|murmur|erythema|clubbing|cyanosis|"
    "hot flashes|vaginal bleeding"
).split("|")
_DRUGS = (
    "ASA|APAP|Tylenol|ibuprofen|Motrin|lisinopril|metop|metoprolol|lasix|furosemide|HCTZ|amlodipine|norvasc|statin|"
    "atorva|lipitor|metformin|glipizide|lantus|insulin|NPH|"
    "humalog|SSI|coumadin|warfarin|eliquis|xarelto|plavix|heparin|"
    "heparin gtt|lovenox|albuterol|advair|spiriva|prednisone|pred|solumedrol|abx|amox|augmentin|zpak|azithro|levaquin|"
    "cipro|flagyl|vanc|zosyn|CTX|ceftriaxone|bactrim|keflex|doxy|PPI|omeprazole|protonix|pepcid|zofran|reglan|morphine|"
    "dilaudid|oxycodone|percocet|norco|tramadol|gabapentin|"
    "neurontin|lyrica|flexeril|zoloft|sertraline|lexapro|trazodone|"
    "ativan|xanax|seroquel|keppra|levothyroxine|synthroid|flomax|finasteride|"
    "MVI|iron|KCl|folic acid|NS|O2|nitro|SL NTG|"
    "digoxin|amio|dilt|hydralazine|clonidine|tamoxifen|methotrexate|MTX|plaquenil|humira|epi|narcan|colace|senna|miralax"
).split("|")
_PLAIN: dict[str, Sequence[str]] = {
    "n": "1|2|3|4|5|7|10|12|14|20|30|48".split("|"),
    "age": "3|7|19|24|31|38|45|52|58|63|67|71|76|84|91".split("|"),
    "sex": "M|F|male|female|man|woman|gentleman|lady".split("|"),
    "days": (
        "x 2 days|x3d|x 1 wk|for 3 weeks|since yesterday|"
        "x 2 mo|since 3/14|overnight|for about a month|on and off"
    ).split("|"),
    "dose": "5 mg|10 mg|20mg|25 mg|40|81 mg|100 mg|500mg|650|1 g|10 units|2 puffs|50 mcg|1 tab|0.4 mg".split("|"),
    "sig": (
        "daily|qd|bid|BID|tid|qhs|q6h prn|PO daily|"
        "po bid|IV q8h|q4-6h prn|at bedtime|weekly|SC daily|x 7 days|prn"
    ).split("|"),
    "value": (
        "4.2|138|1.1|0.9|12.4|7.2|98|210|>500|<0.01|"
        "neg|negative|pos|wnl|pending|elevated|low|normal|8.1%|33"
    ).split("|"),
    "bp": "120/80|142/88|98/60|160/95".split("|"),
    "vital": "72|98.6|101.2 F|18|97% RA|94% on 2L|36.7|110|88|165 lb|31".split("|"),
    "date": "3/14|2019|in 2016|last week|01/22/20|6/2018|last year|yesterday|today|5 yrs ago|2 mo ago".split("|"),
    "who": "Mother|Father|Sister|MGM|Brother|Mom|Dad|PGF|Son".split("|"),
    "look": (
        "NAD|nl|normal|clear|soft, NT/ND|RRR|"
        "CTAB|WNL|unremarkable|intact|benign|no acute distress|AAOx3"
    ).split("|"),
    "other": (
        "lives alone|lives w/ wife|works as a teacher|"
        "quit 10 yrs ago|1 ppd x 20 yrs|social drinker|independent in ADLs|"
        "full code|DNR/DNI|d/w family|pt agrees w/ plan|tolerated well|no complications|see above|as below|dispo home|"
        "call w/ questions|NPO after midnight|compliant w/ meds|ambulating|discharge tomorrow|records requested"
    ).split("|"),
}  # fmt: skip
# The pieces of a note. {disease} and the like are marked, the other names are not.
_LINES: dict[str, Sequence[str]] = {
    "history": (
        "{age} yo {sex} w/ {disease}, {disease}, {disease} p/w {symptom} {days}.",
        "{age}yo{sex} h/o {disease} here w/ {symptom} and {symptom} {days}",
        "Pt is a {age} y/o {sex} with PMHx of {disease} and {disease} who presents with {symptom} {days}, assoc "
        "w/ {symptom}.",
        "{age} y.o. {sex} c/o {symptom} {days}. Denies {symptom}, {symptom}, {symptom}.",
        "CC: {symptom}",
        "cc {symptom} {days}",
        "No {symptom}, {symptom} or {symptom}. {other}.",
        "Denies {symptom}/{symptom}. + {symptom}.",
        "(+) {symptom}, (-) {symptom}, (-) {symptom}",
        "+{symptom} -{symptom} -{symptom}",
        "Reports worsening {symptom} despite {drug}. Taking {drug} {dose} {sig} w/ some relief of {symptom}.",
        "s/p {procedure} {date} for {disease}, c/b {disease}.",
        "was seen at OSH {date}, {procedure} showed {disease}, started on {drug}",
        "?{disease} vs {disease}",
        "r/o {disease}",
        "{symptom} began {days} after {procedure}; took {drug} without relief",
        "Pain in {anatomy} {days}, radiating to {anatomy}. No trauma.",
        "She was told she has {disease} but never had a {procedure}.",
        "ROS: neg for {symptom}, {symptom}, {symptom}; pos for {symptom}",
        "ROS o/w negative.",
        "no hx {disease}, {disease}",
        "{disease} dx'd {date}, on {drug}, last {lab} {value}",
        "pt states {symptom} is better, still some {symptom} at night",
    ),
    "past": (
        "PMH: {disease}, {disease}, {disease}",
        "PMHx:\n- {disease}\n- {disease}\n- {disease} s/p {procedure}",
        "PMH\n{disease}\n{disease} ({date})\n{disease}",
        "PSH: {procedure} {date}, {procedure}",
        "Past Surgical Hx: {procedure} ({date}); {procedure}.",
        "FH: {who} - {disease}, {who} - {disease}",
        "FHx: {who} w/ {disease} at {age}. {other}",
        "Fam hx neg for {disease}",
        "SH: {other}, {other}",
        "Allergies: {drug} ({symptom}), {drug}",
        "All: {drug} -> {symptom}",
        "NKDA",
        "Problem list: 1. {disease} 2. {disease} 3. {symptom}",
    ),
    "meds": (
        "Meds: {drug} {dose} {sig}, {drug} {dose} {sig}, {drug}",
        "Medications:\n{drug} {dose} {sig}\n{drug} {dose} {sig}\n{drug} {dose} {sig}",
        "MEDS\n1. {drug} {dose} {sig}\n2. {drug} {sig}\n3. {drug} {dose}",
        "Home meds - {drug}, {drug}, {drug}, {drug}",
        "Current rx: {drug} {dose} {sig} for {disease}; {drug} {dose} {sig} for {symptom}",
        "d/c {drug}, start {drug} {dose} {sig}",
        "hold {drug} for {lab} {value}",
        "took {drug} and {drug} this am",
    ),
    "exam": (
        "VS: {vitalsign} {bp}, {vitalsign} {vital}, {vitalsign} {vital}",
        "{vitalsign} {bp} {vitalsign} {vital} {vitalsign} {vital} {vitalsign} {vital}",
        "PE: {anatomy} {look}. {anatomy} {look}. No {symptom}.",
        "{anatomy}: {look}, no {symptom}",
        "{anatomy} - {symptom}, {look}",
        "Gen: {look}\nHEENT: {look}\nCV: {look}, no {symptom}\n{anatomy}: {look}, no {symptom}\nNeuro: {look}",
        "{symptom} over {anatomy}; {anatomy} {look}",
        "{device} in place, site c/d/i",
        "{device} intact, no {symptom} at site. Ambulates w/ {device}.",
        "ROM of {anatomy} limited by pain",
        "{anatomy} swollen, tender",
    ),
    "data": (
        "Labs: {lab} {value}, {lab} {value}, {lab} {value}",
        "{lab} {value} {lab} {value} {lab} {value} {lab} {value}",
        "LABS\n{lab}: {value}\n{lab}: {value} (H)\n{lab}: {value}",
        "{lab} {value} (was {value} {date})",
        "{lab} pending. {lab} sent.",
        "{procedure}: no {disease}, {anatomy} {look}",
        "{procedure} {date}: {disease} in {anatomy}",
        "{procedure} neg for {disease}",
        "{procedure} w/ {disease}, no {disease}.",
        "Path: {disease} of {anatomy}, {gene} positive, {gene} neg",
        "Genetics: {gene} mutation, {gene} wild type",
        "{gene}+ {disease}, {gene} neg",
        "carrier of {gene} variant; {who} w/ {gene} mutation and {disease}",
        "Tumor is {gene} mutated, started {drug}",
        "{gene} exon {n} del, {gene} not detected",
    ),
    "plan": (
        "A/P: {age} yo {sex} w/ {disease}.\n# {disease}: cont {drug} {dose} {sig}, check {lab}\n"
        "# {disease}: {procedure}",
        "A: {disease}, likely 2/2 {disease}",
        "Imp: {disease}. {disease}, stable.",
        "1. {disease} - {drug} {dose} {sig}, recheck {lab} in {n} wks\n2. {symptom} - likely {disease}, {procedure}",
        "Plan: {procedure}, {lab}, {lab}. Start {drug} {dose} {sig}.",
        "{disease}: on {drug}. {lab} {value}. goal met",
        "{procedure} scheduled, f/u {n} wks",
        "s/p {procedure} POD#{n}, {device} removed",
        "d/c {device}. {procedure} in am.",
        "Rx {drug} {dose} {sig} #{n}",
        "order {device} for {disease}",
        "{device} placed {date} for {disease}; no {symptom}",
        "Return if {symptom} or {symptom}. RTC {n} mo.",
        "f/u w/ cards re: {disease}, {procedure}",
        "refer for {procedure}; {device} ordered",
        "trend {lab}, {lab}; {procedure} if {symptom}",
        "{disease} resolved w/ {drug}",
        "possible {disease}, doubt {disease}. {other}",
        "{other}",
    ),
    "prose": (
        "The patient was brought to the operating room and placed in the supine position.",
        "The risks, benefits and alternatives were discussed with the patient, who agreed to proceed.",
        "The patient tolerated the {procedure} well and was taken to the recovery room in stable condition.",
        "She has not had any recent surgery or travel, and has been up to date with her visits.",
        "He has been doing well since the last visit and has no new complaints today.",
        "The skin was closed in layers and a sterile dressing was applied.",
        "All questions were answered. Total time spent with the patient was {n} minutes.",
        "I reviewed the records from the outside hospital and discussed the plan with Dr. Smith.",
        "Please see the above note for details of the hospital course.",
        "She was followed closely and was discharged home on day {n} with instructions to return in {n} weeks.",
        "There is no evidence of {disease}. The {anatomy} is within normal limits.",
        "Examination of the {anatomy} shows no {symptom} and no {symptom}.",
        "This is a {age}-year-old {sex} who comes in today for evaluation of {symptom} that started {days}.",
        "The patient was in her usual state of health until {days}, when she noted {symptom} with {symptom}.",
        "He was treated with {drug} for {disease}, up to {n} times a day, with good effect.",
        "Family history is significant for {disease} in his mother. There is no known history of {disease}.",
        "The patient is married with {n} children, works full time, and does not smoke or drink.",
        "She should continue {drug} as before and call if the {symptom} gets worse or does not improve.",
        "We will obtain {procedure} to rule out {disease}, and check {lab} and {lab} in the morning.",
        "The {device} was placed without difficulty and its position was confirmed by {procedure}.",
        "Weight bearing as tolerated with {device}. Keep the wound clean and dry.",
        "The patient has a history of {disease} and {disease}, for which he takes {drug} and {drug}.",
        "{lab} was {value} on admission and {value} at discharge.",
        "Her {symptom} is worse at night, better with rest, and not related to meals.",
        "On admission the patient was alert and oriented, in no distress, with stable vital signs.",
        "He was started on {drug}, which was changed to {drug} because of {symptom}.",
        "Mom reports that he has been eating less than usual and had {symptom} twice last night.",
        "Up to this point he has had no trouble with daily activities at home or at work.",
        "Estimated blood loss was minimal. There were no complications. Counts were correct.",
        "Patient is here with his wife for follow up of {disease}, which is stable on {drug}.",
        "The {anatomy} was examined and found to be {look}; the remainder was unremarkable.",
        "She understands and will follow up with her primary care doctor within {n} weeks.",
        "Advised rest, fluids, and to take medications as directed with food.",
        "No change in appetite or sleep. No recent travel, sick contacts or new exposures.",
        "{procedure} of the {anatomy} was performed with findings consistent with {disease}.",
        "Two views of the {anatomy} were obtained without contrast and compared with the prior study.",
        "He lives with family in a two story house with stairs and is able to do most things himself.",
        "Per the family, he had been well with no changes until the day before admission.",
        "Diagnosis: {disease}. Prognosis is good. Condition on discharge: improved.",
        "Instructions: {drug} {dose} {sig}; avoid heavy lifting; return to clinic in {n} weeks.",
    ),
}
_TYPES = {
    "disease": EntityType.DISEASE,
    "symptom": EntityType.SYMPTOM,
    "drug": EntityType.MEDICATION,
    "lab": EntityType.LAB_TEST,
    "vitalsign": EntityType.LAB_TEST,  # the recogniser's types have no vital signs
    "procedure": EntityType.PROCEDURE,
    "device": EntityType.DEVICE,
    "anatomy": EntityType.ANATOMY,
    "gene": EntityType.GENE,
}
_OWN = {
    "disease": _DISEASES,
    "symptom": _SYMPTOMS,
    "drug": _DRUGS,
    "lab": _LABS,
    "vitalsign": _VITALS,
    "procedure": _PROCEDURES,
    "device": _DEVICES,
    "anatomy": _ANATOMY,
    "gene": _GENES,
}
_SNOMED = ("code", "type", "display", "names", "icd10cm", "chronic")


def notes(count: int) -> list[AnnotatedNote]:
    """Return as many notes."""
    random = Random(_SEED)  # noqa: S311  # nothing secret
    return [_note(f"shorthand-{number}", random) for number in range(1, count + 1)]


def _note(id_: str, random: Random) -> AnnotatedNote:
    text = ""
    annotations: list[Annotation] = []
    case = random.choice((str, str, str.lower, str.upper))
    for part in ("history", "prose", "past", "meds", "prose", "exam", "data", "plan"):
        for line in random.sample(_LINES[part], random.randint(1, 4)):
            start = len(text)
            filled, marks = _filled(line, random)
            text += case(filled) if len(case(filled)) == len(filled) else filled
            annotations.extend(
                Annotation(start=start + first, end=start + last, label=str(type_), type=type_)
                for first, last, type_ in marks
            )
            text += random.choice(("\n", "\n", "\n", "\n\n", " ", ". ", "; "))
    return AnnotatedNote(id=id_, text=text, annotations=tuple(annotations))


def _filled(line: str, random: Random) -> tuple[str, list[tuple[int, int, EntityType]]]:
    text = ""
    marks: list[tuple[int, int, EntityType]] = []
    position = 0
    for slot in _SLOT.finditer(line):
        text += line[position : slot.start()]
        position = slot.end()
        kind = slot[1]
        if kind in _PLAIN:
            text += random.choice(_PLAIN[kind])
            continue
        name = random.choice(_names()[kind] if random.random() < 0.5 else _OWN[kind])
        marks.append((len(text), len(text) + len(name), _TYPES[kind]))
        text += name
    return text + line[position:], marks


@cache
def _names() -> dict[str, list[str]]:
    """Return names of the starter tables per slot, beside our own."""
    names: dict[str, list[str]] = {kind: list(own) for kind, own in _OWN.items()}
    slots = {"disease": "disease", "symptom": "symptom", "procedure": "procedure", "device": "device"}
    tables = folder("mappings").joinpath("starter", "snomed")
    for name in sorted(table.name for table in tables.iterdir()):
        for row in read_table(f"starter/snomed/{name}", _SNOMED):
            if row["type"] in slots:
                names[row["type"]].extend(_usable((row["display"].lower(), *split(row["names"]))))
    loinc = ("code", "type", "category", "display", "names", "unit", "low", "high")
    for row in read_table("starter/loinc.csv", loinc):
        if row["type"] == "lab-test" and row["category"] == "laboratory":
            names["lab"].extend(_usable(split(row["names"])))
    for row in read_table("starter/hcpcs.csv", ("code", "type", "display", "names", "snomed")):
        if row["type"] == "device":
            names["device"].extend(_usable(split(row["names"])))
    drugs = ("code", "kind", "display", "mention", "names", "brands", "ingredients")
    for row in read_table("starter/rxnorm.csv", drugs):
        if row["mention"] == "yes":
            names["drug"].extend(_usable((row["display"], *split(row["names"]), *split(row["brands"]))))
    return names


def _usable(names: Sequence[str]) -> Iterator[str]:
    return (name for name in names if 1 < len(name) < _LONGEST_NAME)
