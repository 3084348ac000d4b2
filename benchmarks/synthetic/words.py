"""The words of which the names of the synthetic releases are made: ordinary words, taken from no list."""

from __future__ import annotations


def _list(text: str) -> tuple[str, ...]:
    words = tuple(" ".join(word.split()) for word in text.split(","))
    if len(set(words)) != len(words):
        raise ValueError(f"twice: {sorted(word for word in words if words.count(word) > 1)}")
    return words


SITES = _list("""
    femur, tibia, fibula, humerus, radius, ulna, scapula, clavicle, sternum, rib, patella, calcaneus, talus, cuboid,
    navicular bone, scaphoid bone, lunate bone, hamate bone, metacarpal bone, metatarsal bone, phalanx of finger,
    phalanx of toe, pelvis, ilium, ischium, pubis, sacrum, coccyx, cervical vertebra, thoracic vertebra,
    lumbar vertebra, mandible, maxilla, zygomatic bone, nasal bone, frontal bone, parietal bone, occipital bone,
    temporal bone, sphenoid bone, hyoid bone, hip joint, knee joint, ankle joint, shoulder joint, elbow joint,
    wrist joint, temporomandibular joint, sacroiliac joint, thumb, index finger, ring finger, great toe, heel, forearm,
    upper arm, thigh, calf, foot, hand, forehead, scalp, cheek, chin, neck, axilla, groin, buttock, perineum, back,
    flank, chest wall, abdominal wall, umbilicus, skin of face, skin of trunk, eyelid, conjunctiva, cornea, iris,
    ciliary body, lens, retina, macula, choroid, vitreous body, optic nerve, optic disc, orbit, lacrimal gland,
    external ear, ear canal, tympanic membrane, middle ear, mastoid process, cochlea, labyrinth, auditory nerve,
    nasal septum, nasal cavity, maxillary sinus, frontal sinus, ethmoid sinus, sphenoid sinus, nasopharynx, oropharynx,
    hypopharynx, tonsil, adenoid, tongue, floor of mouth, hard palate, soft palate, gingiva, lip, tooth root,
    dental pulp,
    parotid gland, submandibular gland, salivary duct, larynx, epiglottis, vocal cord, trachea, main bronchus,
    upper lobe of lung, lower lobe of lung, pleura, mediastinum, diaphragm, esophagus, gastric cardia, gastric fundus,
    gastric antrum, pylorus, duodenum, jejunum, ileum, cecum, appendix, ascending colon, transverse colon,
    descending colon, sigmoid colon, rectum, anal canal, liver, gallbladder, common bile duct, head of pancreas,
    tail of pancreas, spleen, peritoneum, omentum, mesentery, kidney, renal pelvis, ureter, urinary bladder, urethra,
    prostate, seminal vesicle, testis, epididymis, spermatic cord, penis, scrotum, ovary, fallopian tube, uterus,
    endometrium, cervix of uterus, vagina, vulva, breast, nipple, placenta, umbilical cord, thyroid gland,
    parathyroid gland, adrenal cortex, adrenal medulla, pituitary gland, pineal gland, thymus, bone marrow, lymph node,
    cerebral cortex, frontal lobe, temporal lobe, parietal lobe, occipital lobe, basal ganglia, thalamus, hypothalamus,
    hippocampus, cerebellum, brain stem, midbrain, pons, medulla oblongata, meninges, spinal cord, cauda equina,
    facial nerve, trigeminal nerve, vagus nerve, median nerve, ulnar nerve, radial nerve, sciatic nerve,
    femoral nerve, peroneal nerve, brachial plexus, pericardium, myocardium, endocardium, left ventricle, right atrium,
    aortic valve, mitral valve, tricuspid valve, pulmonary valve, coronary artery, ascending aorta, aortic arch,
    abdominal aorta, carotid artery, subclavian artery, renal artery, mesenteric artery, iliac artery, femoral artery,
    popliteal artery, pulmonary artery, pulmonary vein, vena cava, portal vein, jugular vein, femoral vein,
    saphenous vein, rotator cuff, Achilles tendon, biceps tendon, patellar tendon, quadriceps muscle,
    gastrocnemius muscle, deltoid muscle, plantar fascia, meniscus, cruciate ligament, collateral ligament
""")

DISORDERS = _list("""
    fracture, dislocation, subluxation, sprain, strain, contusion, laceration, abrasion, puncture wound, open wound,
    crush injury, burn, frostbite, avulsion, traumatic amputation, foreign body, hematoma, abscess, cellulitis, ulcer,
    ulceration, erosion, perforation, fistula, stricture, stenosis, obstruction, occlusion, atresia, agenesis,
    hypoplasia, hyperplasia, dysplasia, metaplasia, atrophy, hypertrophy, fibrosis, sclerosis, necrosis, gangrene,
    infarction, ischemia, thrombosis, embolism, aneurysm, dissection, hemorrhage, edema, effusion, inflammation,
    infection, granuloma, tuberculosis, syphilis, candidiasis, mycosis, aspergillosis, actinomycosis, amyloidosis,
    sarcoidosis, calcification, calculus, concretion, cyst, pseudocyst, polyp, papilloma, adenoma, carcinoma in situ,
    adenocarcinoma, squamous cell carcinoma, small cell carcinoma, basal cell carcinoma, transitional cell carcinoma,
    sarcoma, osteosarcoma, chondrosarcoma, leiomyoma, leiomyosarcoma, lipoma, liposarcoma, fibroma, fibrosarcoma,
    hemangioma, angiosarcoma, lymphangioma, lymphoma, plasmacytoma, melanoma, nevus, neurofibroma, schwannoma,
    meningioma, glioma, astrocytoma, teratoma, germ cell tumor, carcinoid tumor, neuroendocrine tumor, mesothelioma,
    metastasis, pain, tenderness, swelling, stiffness, numbness, weakness, spasm, cramp, paralysis, paresis, neuralgia,
    neuropathy, neuritis, compression, entrapment, prolapse, herniation, hernia, torsion, volvulus, intussusception,
    invagination, diverticulum, diverticulitis, dilatation, ectasia, varices, malformation, arteriovenous malformation,
    duplication, ectopia, transposition, deformity, contracture, adhesion, ankylosis, arthritis, osteoarthritis,
    rheumatoid arthritis, psoriatic arthritis, septic arthritis, arthrosis, synovitis, bursitis, tendinitis,
    tenosynovitis, fasciitis, myositis, rhabdomyolysis, osteomyelitis, osteonecrosis, osteoporosis, osteopenia,
    periostitis, exostosis, rupture, tear, degeneration, dystrophy, opacity, neovascularization, detachment,
    discoloration, pigmentation, keratosis, dermatitis, eczema, psoriasis, urticaria, pruritus, erythema, purpura,
    petechiae, telangiectasia, bulla, blister, scar, keloid, callus, wart, molluscum, herpes, zoster, impetigo,
    folliculitis, sinus tract, discharge, bleeding, mass, nodule, lump, lesion, plaque, thickening, irregularity,
    insufficiency, regurgitation, incompetence, failure, dysfunction, dyskinesia, dysmotility, reflux, spasmodic tic,
    tremor, neoplasm, malignancy, tumor, vasculitis, arteritis, phlebitis, thrombophlebitis, lymphangitis,
    lymphadenitis, lymphedema, empyema, pneumatosis, emphysema, atelectasis, consolidation, infiltration, congestion,
    hypoperfusion, hyperemia, steatosis, cirrhosis, hemosiderosis, siderosis, xanthoma, gout, pseudogout,
    chondrocalcinosis, osteochondritis, epiphysiolysis, malunion, nonunion, delayed union, stress fracture,
    pathological fracture, greenstick fracture, comminuted fracture, avulsion fracture, compression fracture
""")

QUALIFIERS = _list("""
    acute, subacute, chronic, recurrent, persistent, intermittent, mild, moderate, severe, primary, secondary,
    congenital,
    acquired, traumatic, idiopathic, postoperative, infective, viral, bacterial, fungal, parasitic, allergic,
    autoimmune, drug-induced, radiation-induced, neonatal, juvenile, adult-onset, senile, familial, hereditary,
    sporadic,
    localized, generalized, diffuse, multifocal, focal, segmental, superficial, deep, partial, complete, incomplete,
    early, late, progressive, stable, refractory, symptomatic, asymptomatic, suppurative, necrotizing, hemorrhagic,
    ischemic, hypertensive, diabetic, alcoholic, toxic, metabolic, nutritional
""")

SIDES = _list("left, right, bilateral, unilateral")

CAUSES = _list("""
    diabetes mellitus, hypertension, trauma, alcohol, tobacco, pregnancy, chemotherapy, radiation, prolonged pressure,
    immobility, overuse, dehydration, malnutrition, obesity, anticoagulant, corticosteroid, Staphylococcus,
    Streptococcus, Escherichia, Pseudomonas, Klebsiella, Candida, Aspergillus, Mycobacterium, Treponema, Borrelia,
    herpesvirus, cytomegalovirus, adenovirus, influenza, Toxoplasma, Schistosoma, amyloid, uremia, hyperthyroidism,
    hypothyroidism, cirrhosis, sickle cell disease, hemophilia, lupus
""")

PROCEDURES = _list("""
    excision, incision, biopsy, drainage, repair, reconstruction, replacement, resection, ablation, dilation, ligation,
    embolization, stenting, bypass, anastomosis, transplantation, grafting, fixation, fusion, arthrodesis, arthroscopy,
    endoscopy, laparoscopy, imaging, ultrasonography, computed tomography, magnetic resonance imaging, radiography,
    angiography, injection, aspiration, irrigation, debridement, suture, closure, removal of foreign body, exploration,
    manipulation, reduction, traction, immobilization, massage, examination, inspection, monitoring, radiotherapy
""")

APPROACHES = _list("""
    open, percutaneous, laparoscopic, endoscopic, robotic, image-guided, ultrasound-guided, fluoroscopic, emergency,
    elective, diagnostic, therapeutic, staged, revision, intraoperative, bedside
""")

ORGANISMS = _list("""
    Abscondia, Barnevella, Calorimonas, Dermatibacter, Enteroclada, Fusilaria, Gastrospira, Halomyces, Ictervirus,
    Juncobacter, Kelomonas, Lacticola, Myxobasis, Nitrofila, Ovicoccus, Pleurobacter, Quercicola, Rhinospora,
    Salivicola,
    Tegumentaria, Urobacter, Vaginicola, Xanthospora, Zygofilum
""")
SPECIES = _list("""
    albida, borealis, coeruleata, dubia, elongata, fragilis, gracilis, hominis, incerta, lutea, minor, nigricans,
    orientalis, pallida, robusta, sabulosa, tenuis, ulcerans, vulgaris
""")

ANALYTES = _list("""
    Albumin, Bilirubin, Creatinine, Glucose, Urea, Sodium, Potassium, Chloride, Calcium, Magnesium, Phosphate, Iron,
    Ferritin, Transferrin, Cholesterol, Triglyceride, Lactate, Pyruvate, Ammonia, Lipase, Amylase, Troponin, Myoglobin,
    Hemoglobin, Leukocytes, Neutrophils, Lymphocytes, Monocytes, Eosinophils, Platelets, Reticulocytes, Fibrinogen,
    Plasminogen, Antithrombin, Protein, Immunoglobulin, Complement, Cortisol, Aldosterone, Renin, Insulin, Glucagon,
    Gastrin, Thyrotropin, Thyroxine, Prolactin, Estradiol, Progesterone, Testosterone, Folate, Cobalamin, Retinol,
    Tocopherol, Zinc, Copper, Selenium, Lead, Mercury, Arsenic, Osmolality
""")
SPECIMENS = _list("""
    Serum, Plasma, Blood, Urine, Cerebral spinal fluid, Pleural fluid, Peritoneal fluid, Synovial fluid, Saliva, Stool,
    Sputum, Tissue, Bone marrow, Amniotic fluid, Sweat, Hair
""")
METHODS = _list("""
    Immunoassay, Electrophoresis, Chromatography, Mass spectrometry, Flow cytometry, Nephelometry, Test strip,
    Automated count, Manual count, Culture, Nucleic acid amplification, Calculated
""")

DOSE_FORMS = _list("""
    Oral Tablet, Oral Capsule, Oral Solution, Oral Suspension, Chewable Tablet, Extended Release Oral Tablet,
    Delayed Release Oral Capsule, Disintegrating Oral Tablet, Sublingual Tablet, Injectable Solution,
    Injectable Suspension, Prefilled Syringe, Topical Cream, Topical Ointment, Topical Gel, Topical Lotion,
    Transdermal System, Ophthalmic Solution, Otic Solution, Nasal Spray, Metered Dose Inhaler, Dry Powder Inhaler,
    Inhalation Solution, Rectal Suppository, Vaginal Cream, Medicated Shampoo, Oral Powder, Oral Film
""")
SALTS = _list("hydrochloride, sodium, potassium, sulfate, succinate, tartrate, maleate, citrate, acetate, phosphate")

FIRST_SYLLABLES = (
    "ab ac al am ba be bi bro ca ce ci clo da de di do e fa fe flu ga ge ha i ka ke la le lo ma me mi mo".split()
)
MIDDLE_SYLLABLES = (
    "la le li lo lu ra re ri ro ru ta te ti to tu va ve vi vo na ne ni no nu xa xe xi xo pra pre pri pro".split()
)
LAST_SYLLABLES = (
    "mab nib pril sartan statin olol dipine azole cillin mycin floxacin vir tidine prazole gliptin gliflozin zepam "
    "barbital caine profen oxicam setron triptan fibrate thiazide semide lukast terol sone nolone".split()
)
BRAND_ENDINGS = "ra rix xa via tiq zo lan dex myl vance quel zor pta nuvo".split()

DEVICES = _list("""
    wheelchair, walker, crutch, cane, commode chair, hospital bed, mattress overlay, oxygen concentrator, nebulizer,
    suction pump, infusion pump, glucose monitor, catheter, ostomy pouch, skin barrier, wound dressing, gauze pad,
    compression stocking, cervical collar, spinal orthosis, knee orthosis, ankle-foot orthosis, wrist splint,
    prosthetic foot, prosthetic socket, hearing aid, spectacle lens, contact lens, patient lift, traction frame
""")
DEVICE_PARTS = _list("""
    complete, replacement part, battery, tubing, adapter, cushion, armrest, footrest, frame, liner, strap, cover, valve,
    filter, mask, reservoir, connector, charger
""")
MATERIALS = _list("""
    plastic, metal, aluminum, titanium, foam, gel, silicone, latex-free, leather, carbon fiber, elastic, molded, custom
    fabricated, prefabricated, off-the-shelf
""")

PARTS = _list("""
    anterior part, posterior part, superior part, inferior part, medial part, lateral part, proximal part, distal part,
    anterior surface, posterior surface, medial surface, lateral surface, upper border, lower border, entire wall,
    mucous membrane, capsule, apex, base, cortex, margin, lumen, vascular supply, nerve supply, lymphatic drainage
""")
TISSUES = _list("connective tissue, fat, muscle, epithelium, vein, artery, nerve, cartilage")
MEASURED = _list("""
    length, width, depth, volume, weight, temperature, pressure, flow, color, size, number, density, mobility, strength,
    range of movement, sensation, growth, appearance, position, shape
""")
