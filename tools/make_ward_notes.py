"""Writes made-up ward notes with their entities, to teach a model shorthand that published case reports don't have.

    python tools/make_ward_notes.py --count 400 --seed 7 > ward-notes.jsonl

Names of problems, medicines and tests come from engine/nlp/tables; values, doses and sentences from here. Nobody is
described. The notes under fixtures/notes are for judging: none of their sentences is used here. How spans are drawn is
told in fixtures/notes/README.md.
"""

# ruff: noqa: INP001  a folder of scripts is no package

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

TABLES = Path(__file__).resolve().parent.parent / "engine" / "nlp" / "tables"
LABELS = ("PROBLEM", "MEDICATION", "DOSAGE", "TEST", "TEST_VALUE", "PROCEDURE", "ANATOMY")
MARKED = re.compile(r"\{(\w+)\}")
#: Lists of names, separated by |.

SYMPTOMS = (
    "SOB|cough|fever|chills|rigors|nausea|vomiting|giddiness|palpitations|leg swelling|back pain|epigastric pain|chest tightness|"
    "diarrhoea|constipation|poor appetite|lethargy|headache|blurred vision|dysuria|haematuria|rash|pruritus|LOW|LOA|sore throat|"
    "runny nose|knee pain|left calf pain|RIF pain|numbness of fingers|slurred speech|right arm weakness|facial droop|fall|"
    "confusion|insomnia|melena|haemoptysis|orthopnoea|PND|night sweats|joint swelling|hip pain|wheeze|abdominal distension|syncope|"
    "咳嗽|发烧|头痛|胸闷|呕吐|腹泻|气促|腰痛|sakit kepala|demam|batuk|muntah|cirit birit|sesak nafas|sakit pinggang|pening|"
    "kaichal|thalai vali|vayiru vali|irumal|mayakkam"
)
SIGNS = (
    "bibasal creps|pitting edema|pallor|jaundice|RIF tenderness|expressive aphasia|pronator drift|stage 2 sacral ulcer|left foot cellulitis|"
    "reduced air entry|cervical lymphadenopathy|guarding|systolic murmur|hepatomegaly|dry mucous membranes"
)
FINDINGS = (
    "left pleural effusion|RLL consolidation|cardiomegaly|fibroid uterus|renal calculi|hydronephrosis|gallstones|old lacunar infarcts|"
    "subdural haematoma|compression fracture of L1|NOF fracture|gastric ulcer|colonic polyp|fatty liver|hiatal hernia|segmental PE|"
    "moderate MR|RWMA|acute infarct|bowel obstruction|free air|lung nodule|osteoarthritis"
)
PROCEDURES = (
    "PCI|CABG|appendicectomy|lap chole|TKR|THR|haemodialysis|HD|PD|intubation|IDC insertion|NGT insertion|wound debridement|I&D|"
    "angioplasty|cataract surgery|TURP|hysterectomy|LSCS|BKA|pleural tap|chest physio|PRBC transfusion|ORIF|colectomy|mastectomy|"
    "pacemaker insertion|dressing change|suture removal|chemotherapy|radiotherapy|physiotherapy|tracheostomy|AVF creation"
)
SCANS = (
    "CXR|ECG|2DE|CT brain|CTPA|US abdomen|MRI spine|AXR|OGD|colonoscopy|US Doppler|MRI brain|CT AP|hip X-ray|EEG|spirometry|"
    "MIBI|TTE|bone scan|DXA"
)
PLACES = (
    "left foot|right knee|abdomen|chest|lungs|sacrum|left hip|right arm|calves|neck|lower limbs|RIF|epigastrium|left breast|scalp|"
    "right eye|heels|spine|throat|groin"
)
VALUES = {
    "BP": lambda r: f"{r.randint(85, 200)}/{r.randint(45, 110)}", "HR": lambda r: str(r.randint(45, 140)),
    "SpO2": lambda r: f"{r.randint(85, 100)}%", "RR": lambda r: str(r.randint(12, 32)),
    "T": lambda r: f"{r.uniform(35.8, 39.9):.1f}", "Temp": lambda r: f"{r.uniform(35.8, 39.9):.1f}",
    "GCS": lambda r: f"E{r.randint(1, 4)}V{r.randint(1, 5)}M{r.randint(1, 6)}", "hypocount": lambda r: f"{r.uniform(3, 25):.1f}",
    "CBG": lambda r: f"{r.uniform(3, 25):.1f} mmol/L", "Hb": lambda r: f"{r.uniform(5, 16):.1f}",
    "Hb ": lambda r: f"{r.uniform(5, 16):.1f} g/dL", "TW": lambda r: f"{r.uniform(2, 25):.1f}",
    "WBC": lambda r: f"{r.uniform(2, 25):.1f}", "Plt": lambda r: str(r.randint(20, 500)), "K": lambda r: f"{r.uniform(2.5, 6.8):.1f}",
    "Na": lambda r: str(r.randint(118, 155)), "K+": lambda r: f"{r.uniform(2.5, 6.8):.1f}", "Cr": lambda r: str(r.randint(45, 900)),
    "creatinine": lambda r: f"{r.randint(45, 900)} umol/L", "urea": lambda r: f"{r.uniform(2, 35):.1f} mmol/L",
    "CRP": lambda r: f"{r.uniform(0.4, 300):.0f}", "HbA1c": lambda r: f"{r.uniform(5.2, 13):.1f}%",
    "LDL": lambda r: f"{r.uniform(1, 5.5):.1f} mmol/L", "INR": lambda r: f"{r.uniform(0.9, 6):.1f}",
    "trop I": lambda r: f"{r.randint(3, 5000)} ng/L", "lactate": lambda r: f"{r.uniform(0.6, 9):.1f}",
    "ALT": lambda r: f"{r.randint(8, 900)} U/L", "albumin": lambda r: f"{r.randint(17, 45)} g/L",
    "EF": lambda r: f"{r.randint(15, 65)}%", "eGFR": lambda r: str(r.randint(5, 100)), "pH": lambda r: f"{r.uniform(6.9, 7.6):.2f}",
    "TSH": lambda r: f"{r.uniform(0.01, 12):.2f} mIU/L", "pain score": lambda r: f"{r.randint(0, 10)}/10",
    "weight": lambda r: f"{r.randint(38, 110)} kg", "UFEME": lambda r: r.choice(("WBC 40", "RBC > 2000", "nitrite positive")),
    "dengue NS1": lambda r: r.choice(("positive", "negative")), "blood c/s": lambda r: r.choice(("NBG", "pending", "MSSA", "E coli")),
}  # fmt: skip
SENTENCES = (
    "{age}. PMHx: {p}, {p}, {p}.",
    "{age} with {p} and {p}, NKDA.",
    "k/c {p} on {rx}.",
    "C/o {s} x {n}/7, a/w {s}.",
    "C/O: {s}, {s}. Denies {s}, {s} or {s}.",
    "No {s}, no {s}.",
    "Presented with {s} for {n} days, worse since last night.",
    "O/E: {g}, {g}. {a} soft, non-tender.",
    "{v}, {v}, {v}.",
    "Vitals: {v} {v} {v} {v}",
    "{v} on RA, {v}.",
    "Bloods: {v}, {v}, {v}, {v}.",
    "{v} (prev {val}).",
    "{t}: {f}.",
    "{t}: no {f}, no {f}.",
    "{t} shows {f}.",
    "{t} done, report pending.",
    "{t} NAD.",
    "Imp: {p}, r/o {p}.",
    "Imp: 1) {p} 2) {p}",
    "Imp: {s} likely 2' {p}.",
    "Plan: start {rx}. KIV {t}.",
    "Plan:\n1. {rx}\n2. {rx}\n3. {t} cm\n4. Repeat {x}, {x}",
    "Cont {rx}, {rx}.",
    "Off {m}. Change to {rx}.",
    "Withhold {m} i/v/o {p}.",
    "S/p {proc} {year}.",
    "Hx of {proc} in {year} for {p}.",
    "For {proc} cm, NBM from 12 mn.",
    "Post {proc} day {n}, {a} wound clean.",
    "Listed for {proc}. Consent taken.",
    "Meds on d/c: {rx}; {rx}; {rx}.",
    "Served {rx} at {hour}, effective.",
    "{rx} served. Pt resting in bed.",
    "Pt c/o {s} over {a}. {v}.",
    "Skin over {a} intact. {a} no redness.",
    "Fam hx: mother had {p}, father {p}.",
    "Allergic to {m} ({s}).",
    "TCU {n}/52 with {x}, {x}.",
    "To trace {x} and {t}.",
    "Chase {t}, trend {x}.",
    "If {s} or {s}, to come back to ED.",
    "病人说 {s} {n} 天了, 没有 {s}.",
    "家人说她有 {p}, 平时吃 {m}.",
    "早上量 {v}, 医生加了 {rx}.",
    "做了 {t}, {f}.",
    "昨晚 {s}, 今天好多了. {v}",
    "Pesakit mengadu {s} sejak {n} hari lepas, tiada {s}.",
    "Anak kata dia lupa makan {m}. {v}.",
    "Sudah buat {t}, keputusan {f}.",
    "Beri {rx}, rehat di rumah.",
    "Dia ada {p} dan {p}, tak ada {s}.",
    "Avarukku {s} {n} naal, {s} illai.",
    "Amma ku {p} irukku, {rx} edukkirar.",
    "Pt says {s} lah, since {n} days ago. Wants {m} only.",
    "Seen by PT, OT. Ambulating with WF.",
    "Mood stable, sleeping well. Nil complaints.",
    "Feeding well, BO x1, PU good. No new issues overnight.",
    "Discussed with family, agreeable. Await MSW input.",
    "Wean O2 as tolerated. Encourage oral fluids.",
)
HEADS = ("", "", "", "S: ", "A/P: ", "R/v ", "MO r/v: ", "NS note: ", "Issues:\n", "Progress: ", "WR Dr: ")


def names(file: str) -> list[str]:
    """All ways to write the entries of a table."""
    rows = [
        line.split(",") for line in (TABLES / file).read_text("utf-8").splitlines() if line and line[0] != "#"
    ]
    return [name for row in rows[1:] for name in (row[0], *row[-1].split("|")) if name]


class Maker:
    """Makes notes at random.

    Args:
        seed: the same gives the same notes.
    """

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - made-up notes, not secrets
        self._problems, self._medicines = names("problems.csv"), names("medicines.csv")
        self._tests = sorted({*names("tests.csv"), *(name.strip() for name in VALUES)})

    def note(self) -> tuple[str, list[dict[str, object]]]:
        """A text and its entities."""
        chance = self._chance
        text = ""
        entities: list[dict[str, object]] = []
        for sentence in chance.sample(SENTENCES, chance.randint(3, 12)):
            text = self._fill(text + chance.choice(HEADS), sentence, entities)
            text += chance.choice((" ", " ", "\n", "\n\n", "; ", "  "))
        return text.rstrip(), entities

    def _fill(self, text: str, sentence: str, entities: list[dict[str, object]]) -> str:
        done = 0
        for hole in MARKED.finditer(sentence):
            text += sentence[done : hole.start()]
            for part, label in self._part(hole[1]):
                if label:
                    entities.append({"start": len(text), "end": len(text) + len(part), "label": label})
                text += part
            done = hole.end()
        return text + sentence[done:]

    def _part(self, hole: str) -> Sequence[tuple[str, str]]:
        """Pieces of text, each with its label or ""."""
        chance = self._chance
        pick: dict[str, Callable[[], Sequence[tuple[str, str]]]] = {
            "p": lambda: [(self._cased(chance.choice(self._problems)), "PROBLEM")],
            "s": lambda: [(self._one(SYMPTOMS), "PROBLEM")],
            "g": lambda: [(self._one(SIGNS), "PROBLEM")],
            "f": lambda: [(self._one(FINDINGS), "PROBLEM")],
            "m": lambda: [(self._cased(chance.choice(self._medicines)), "MEDICATION")],
            "a": lambda: [(self._one(PLACES), "ANATOMY")],
            "t": lambda: [(self._one(SCANS), "TEST")],
            "x": lambda: [(chance.choice(self._tests), "TEST")],
            "proc": lambda: [(self._one(PROCEDURES), "PROCEDURE")],
            "rx": self._order,
            "v": self._measured,
            "val": lambda: [self._measured()[-1]],
            "n": lambda: [(str(chance.randint(1, 14)), "")],
            "year": lambda: [(str(chance.randint(1998, 2025)), "")],
            "hour": lambda: [(f"{chance.randint(0, 23):02}{chance.choice(('00', '15', '30'))}", "")],
            "age": lambda: [
                (f"{chance.randint(1, 97)}{chance.choice(('yo', 'yr', ''))} {chance.choice('MF')}", "")
            ],
        }
        return pick[hole]()

    def _one(self, listed: str) -> str:
        return self._chance.choice(listed.split("|"))

    def _cased(self, name: str) -> str:
        return self._chance.choice((name, name, name.capitalize(), name.upper()))

    def _measured(self) -> Sequence[tuple[str, str]]:
        name = self._chance.choice(list(VALUES))
        between = self._chance.choice((" ", " ", ": ", " - ", "=", " of ", " is "))
        return [(name.strip(), "TEST"), (between, ""), (VALUES[name](self._chance), "TEST_VALUE")]

    def _order(self) -> Sequence[tuple[str, str]]:
        chance = self._chance
        amount = (
            f"{chance.choice((1, 2, 2.5, 5, 10, 20, 25, 40, 50, 75, 80, 100, 250, 300, 500, 625, 850))}"
            f"{chance.choice(('mg', ' mg', 'mcg', ' mcg', 'g', ' g', ' units', 'u', ' ml', ' tabs'))}"
        )
        often = chance.choice(
            ("OM", "ON", "BD", "TDS", "QDS", "PRN", "EOD", "stat", "OM", "q8h", "once a week", "daily", "bid", "6H/PRN", "x 5/7")
        )  # fmt: skip
        dose = chance.choice((f"{amount} {often}", f"{amount} {often}", amount, often))
        name = self._cased(chance.choice(self._medicines))
        route = chance.choice(("", "", "", "IV", "SC", "PO", "neb"))
        before = [(route, "DOSAGE"), (" ", "")] if route else [(chance.choice(("", "", "T. ", "Tab ")), "")]
        return [*before, (name, "MEDICATION"), (" ", ""), (dose, "DOSAGE")]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    maker = Maker(args.seed)
    for number in range(args.count):
        text, entities = maker.note()
        line = {
            "id": f"ward-{number}",
            "text": text,
            "entities": entities,
            "meta": {"patient": f"ward-{number}", "note_type": "ward-note", "labels": LABELS},
        }
        sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
