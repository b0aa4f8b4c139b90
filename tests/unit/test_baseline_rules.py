"""The rule baseline: what it finds, where, and that it is quick about it."""

import time
from collections import Counter

import pytest

from engine.ports import EntityExtractor
from engine.records import Label, Note
from models.baseline import SCORES, RuleExtractor
from models.lexicon import lists
from models.lexicon.words import Rule

EXTRACTOR = RuleExtractor()
SHORT = {
    "P": Label.PROBLEM,
    "M": Label.MEDICATION,
    "D": Label.DOSAGE,
    "T": Label.TEST,
    "V": Label.TEST_VALUE,
    "R": Label.PROCEDURE,
    "A": Label.ANATOMY,
}


def found(text):
    return [(span.label, text[span.start : span.end]) for span in EXTRACTOR.spans(text)]


def expected(said):
    """ "P:fever, M:aspirin" as labels and texts."""
    return [(SHORT[item[0]], item[2:]) for item in said.split("; ") if item]


ROWS = [
    ("c/o chest pain and SOB", "P:chest pain; P:SOB"),
    ("HTN, htn and Hypertension", "P:HTN; P:htn; P:Hypertension"),
    ("acute on chronic renal failure", "P:chronic renal failure"),
    ("bacterial meningitis", "P:bacterial meningitis"),
    ("Kawasaki disease", "P:Kawasaki disease"),
    ("Mammogram 2019 normal", "T:Mammogram"),
    ("T 100.9F HR 108", "T:T; V:100.9F; T:HR; V:108"),
    ("Insulin glargine | 14 units | SC | ON", "M:Insulin glargine; D:14 units | SC | ON"),
    ("Lactate | 2.1 mmol/L | 0.5-2.0", "T:Lactate; V:2.1 mmol/L"),
    ("EPO 4000u SC 3x/week", "M:EPO; D:4000u SC 3x/week"),
    ("vit K 10mg IV", "M:vit K; D:10mg IV"),
    ("Echo 3/4: LVEF 55%", "T:Echo; T:LVEF; V:55%"),
    ("Hb 8.2 <- 9.9", "T:Hb; V:8.2; V:9.9"),
    ("CRP 30 (prev 90)", "T:CRP; V:30; V:90"),
    ("BP 80s/50s", "T:BP; V:80s/50s"),
    ("TW 14, Neut 88%", "T:TW; V:14; T:Neut; V:88%"),
    ("Dengue NS1 Ag positive", "T:Dengue NS1; V:positive"),
    ("repeat K TCM", ""),
    ("takes TCM herbs", "M:TCM herbs"),
    ("neg Murphy's sign", "P:Murphy's sign"),
    ("Lantus 16 units pre-breakfast", "M:Lantus; D:16 units pre-breakfast"),
    ("Warfarin 4mg Mon/Wed", "M:Warfarin; D:4mg Mon/Wed"),
    ("the disease", ""),
    ("biotinidase deficiency", "P:biotinidase deficiency"),
    ("tenosynovitis and choledocholithiasis", "P:tenosynovitis; P:choledocholithiasis"),
    ("the diagnosis and prognosis", ""),
    ("haemoptysis or hemoptysis", "P:haemoptysis; P:hemoptysis"),
    ("anaemias", "P:anaemias"),
    ("as all is well", ""),
    ("K+ 5.4, Na+138, Cl- 101", "T:K; V:5.4; T:Na; V:138; T:Cl; V:101"),
    ("Hb dropped from 10.2 to 8.1", "T:Hb; V:8.1"),
    ("Hb 8.9 L, WBC 15.2 H", "T:Hb; V:8.9 L; T:WBC; V:15.2 H"),
    ("GCS E4V5M6", "T:GCS; V:E4V5M6"),
    ("Urine output 30ml/hr", "T:Urine output; V:30ml/hr"),
    ("Blood c/s: no growth", "T:Blood c/s; V:no growth"),
    ("B12 low, nitrite neg", "T:B12; V:low; T:nitrite; V:neg"),
    ("T. aspirin 100 mg OM", "M:aspirin; D:100 mg OM"),
    ("IV ceftriaxone 1 g q12h x 5/7", "D:IV; M:ceftriaxone; D:1 g q12h x 5/7"),
    ("paracetamol 15 mg/kg QDS PRN", "M:paracetamol; D:15 mg/kg QDS PRN"),
    ("metoprolol tartrate 25 mg twice daily.", "M:metoprolol tartrate; D:25 mg twice daily"),
    ("cefditoren and omeprazole", "M:cefditoren; M:omeprazole"),
    ("100 mg OM, IV hydrocortisone 50 mg", "D:100 mg OM; D:IV; M:hydrocortisone; D:50 mg"),
    ("not on warfarin on discharge", "M:warfarin"),
    ("metformin on hold", "M:metformin"),
    ("Na 135 K 4.0 Cr 145 umol/L", "T:Na; V:135; T:K; V:4.0; T:Cr; V:145 umol/L"),
    ("vitamin K was given", "M:vitamin K"),
    ("BP120/80 HR88 T37.2 SpO2 98%", "T:BP; V:120/80; T:HR; V:88; T:T; V:37.2; T:SpO2; V:98%"),
    ("fracture of T12", "P:fracture"),
    ("Hb 10.2 g/dL (13.0-17.0 g/dL)", "T:Hb; V:10.2 g/dL"),
    ("Trop I <0.01, CXR: normal", "T:Trop I; V:<0.01; T:CXR; V:normal"),
    ("Hb 10.2 -> 8.9", "T:Hb; V:10.2; V:8.9"),
    ("elevated CRP", "V:elevated; T:CRP"),
    ("serum creatinine level was 145", "T:serum creatinine level; V:145"),
    ("CT brain on 12/3, MRI 2 weeks ago", "T:CT brain; T:MRI"),
    ("platelets 92\u2009×\u200910^9/L", "T:platelets; V:92\u2009×\u200910^9/L"),
    ("s/p laparoscopic cholecystectomy", "R:laparoscopic cholecystectomy"),
    ("total hip replacement; liver transplant", "R:total hip replacement; R:liver transplant"),
    ("tenotomy and valvuloplasty", "R:tenotomy; R:valvuloplasty"),
    ("left lower limb and right kidney", "A:left lower limb; A:right kidney"),
    ("患者有DM吃metformin", "P:DM; M:metformin"),
    ("chest\r\npain", "P:chest\r\npain"),
    ("Medications: aspirin", "M:aspirin"),
    ("Surgery:\nnil", ""),
    ("", ""),
]


@pytest.mark.parametrize(("text", "said"), ROWS, ids=[repr(row[0])[:40] for row in ROWS])
def test_findings_are_named_and_placed(text, said):
    """Lists, endings and patterns find what a reader finds, with its exact words."""
    assert found(text) == expected(said)


def test_it_is_an_extractor():
    """The model that comes later replaces this object and nothing else."""
    assert isinstance(EXTRACTOR, EntityExtractor)


async def test_notes_are_answered_in_order():
    """One answer for each note, empty ones included."""
    answers = await EXTRACTOR.extract([Note("a", "fever"), Note("b", ""), Note("c", "cough")])
    assert [len(spans) for spans in answers] == [1, 0, 1]


def test_the_version_is_of_lists_and_rules():
    """Two installations answer alike when they say so; a changed list says otherwise."""
    assert EXTRACTOR.info.version == RuleExtractor().info.version
    assert (EXTRACTOR.info.model_id, EXTRACTOR.info.provider) == ("wardstream-rules", "rules")


def test_a_changed_list_changes_the_version(monkeypatch):
    """The version is no constant that someone forgets to raise."""
    changed = lists.load()
    monkeypatch.setattr(lists, "load", lambda: type(changed)(**{
        **{name: getattr(changed, name) for name in changed.__slots__}, "digest": "0" * 64,
    }))  # fmt: skip
    assert RuleExtractor().info.version != EXTRACTOR.info.version


def test_no_term_has_two_labels():
    """A term in two lists would get one of two labels by chance."""
    counts = Counter(term for term, _ in lists.load().terms)
    assert [term for term, count in counts.items() if count > 1] == []


def test_the_lists_are_as_long_as_promised():
    """Several hundred problems, about a thousand medicines."""
    sizes = Counter(label for _, label in lists.load().terms)
    assert sizes[Label.PROBLEM] > 1000
    assert sizes[Label.MEDICATION] > 900
    assert min(sizes.values()) > 250


def test_every_rule_has_a_score_that_passes_the_default_threshold():
    """Scores are probabilities; what the rules find is emitted unless a site asks for more."""
    assert set(SCORES) == set(Rule)
    assert all(0.5 <= score < 1 for score in SCORES.values())


@pytest.mark.parametrize(
    "filler", ["no fever ", "1 ", "9" * 50 + " ", "mg ", "(", "Hb 1 ", " ", "normal normal ", "a" * 99]
)
def test_hostile_text_is_read_in_linear_time(filler):
    """Four times the text takes about four times as long: no pattern runs away."""
    size = 20_000
    seconds = []
    for factor in (1, 4):
        text = (filler * (size * factor // len(filler) + 1))[: size * factor]
        started = time.perf_counter()
        EXTRACTOR.spans(text)
        seconds.append(time.perf_counter() - started)
    assert seconds[1] < 12 * seconds[0] + 0.2
