"""Assertion: whether the text says that a finding is so."""

import re

import pytest

from engine.nlp.assertion import contexts_of
from engine.nlp.sections import find_sections
from engine.records import Assertion, Label, Span

MEANS = {
    "P": Assertion.PRESENT,
    "N": Assertion.NEGATED,
    "?": Assertion.POSSIBLE,
    "H": Assertion.HYPOTHETICAL,
    "O": Assertion.HISTORICAL,
    "F": Assertion.FAMILY,
}
LABELS = {
    "M": Label.MEDICATION,
    "T": Label.TEST,
    "R": Label.PROCEDURE,
    "V": Label.TEST_VALUE,
    "D": Label.DOSAGE,
}
MARK = re.compile(r"<(?:([MTRVD]):)?([^<>]+)>")


def read(marked):
    """The text without marks, and a span for each ``<finding>`` (a problem) or ``<M:finding>``."""
    text, spans, at = "", [], 0
    for mark in MARK.finditer(marked):
        text += marked[at : mark.start()]
        label = LABELS.get(mark[1] or "", Label.PROBLEM)
        spans.append(Span(len(text), len(text) + len(mark[2]), label, 1.0))
        text += mark[2]
        at = mark.end()
    return text + marked[at:], spans


def contexts(marked):
    text, spans = read(marked)
    return contexts_of(text, spans, find_sections(text))


# Sentence with its findings marked: how each is meant, in order.
SENTENCES = [
    # present
    ("Patient has <fever> and <cough>.", "P P"),
    ("Known <DM> on <M:metformin>.", "P P"),
    ("Complains of <chest pain> radiating to the left arm.", "P"),
    ("<Rash> noted over the trunk.", "P"),
    ("CT brain showed <infarct>.", "P"),
    # negated, trigger before
    ("No <fever>.", "N"),
    ("No <fever>, <cough> or <chest pain> but has <rash>.", "N N N P"),
    (
        "Denies <fever>, <chills>, <cough>, <SOB>, <CP>, <palpitations>, <vomiting> and <dysuria>.",
        "N N N N N N N N",
    ),
    ("denies <CP>, c/o <SOB>", "N P"),
    ("nil <SOB>", "N"),
    ("Nil <fever>/<cough>/<SOB>", "N N N"),
    ("Without <LOC>.", "N"),
    ("w/o <vomiting>", "N"),
    ("There is no evidence of <pneumonia>.", "N"),
    ("CXR shows no <consolidation> or <effusion>.", "N N"),
    ("He has no <diabetes> and takes <M:aspirin>.", "N P"),
    ("Never had <seizures>.", "N"),
    ("Did not have <LOC>", "N"),
    ("Culture negative for <MRSA infection>, positive for <E. coli infection>.", "N P"),
    ("CT ruled out <PE>.", "N"),
    ("Not in <respiratory distress>.", "N"),
    ("Absence of <oedema>.", "N"),
    ("No known <allergy>.", "N"),
    ("no history of <asthma>", "N"),
    ("No <fever>. Has <cough>.", "N P"),
    ("no <fever>\ncough x 3 days with <phlegm>", "N P"),
    ("No signs of <meningism>; <headache> persists", "N P"),
    ("Patient is afebrile with no complaints of <pain>, reports <nausea>", "N P"),
    ("not on <M:warfarin>", "N"),
    ("No <acute haemorrhage>", "N"),
    ("No allergy to <M:aspirin> or <M:paracetamol>", "N N"),
    ("No <R:surgery> done before.", "N"),
    ("No <T:CT brain> done.", "N"),
    # negated, trigger after
    ("<PE> was ruled out.", "N"),
    ("<PE>, <DVT> and <MI> were ruled out.", "N N N"),
    ("<Pneumonia> on CXR, <PE> was ruled out.", "P N"),
    ("<Fever>: nil, <cough>: nil", "N N"),
    ("<fever> -, <cough> -, <SOB> +", "N N P"),
    ("<Vomiting> (-)", "N"),
    ("<Neck stiffness> absent.", "N"),
    ("<Effusion> not seen.", "N"),
    ("<Dengue> negative", "N"),
    ("<DVT> excluded", "N"),
    # other languages around English findings
    ("没有 <fever>", "N"),
    ("<fever> illai", "N"),
    ("tidak ada <demam>, tiada <batuk>", "N N"),
    # pseudo-triggers
    ("No increase in <pain>.", "P"),
    ("Not only <fever> but also <cough>.", "P P"),
    ("Gram negative <sepsis>.", "P"),
    ("<gram negative sepsis>", "P"),
    ("No change in <headache>.", "P"),
    ("No improvement in <SOB> since yesterday.", "P"),
    ("<pain> not relieved by <M:paracetamol>", "P P"),
    ("Without difficulty, has <cough>", "P"),
    ("<DM> not well controlled", "P"),
    ("No cause for <syncope> found", "P"),
    ("nil by mouth for <vomiting>", "P"),
    # a negation says nothing of things of another kind
    ("No evidence of <PE> on <T:CTPA>.", "N P"),
    ("No <fever>, <T:CXR> normal", "N P"),
    ("no <cough>, on <M:aspirin>", "N P"),
    # possible
    ("?<pneumonia>", "?"),
    ("Imp: ? <PE>", "?"),
    ("<PE>?", "?"),
    ("??<CCF>", "?"),
    ("<chest pain> ?<cardiac ischaemia>", "P ?"),
    ("r/o <DVT>", "?"),
    ("TRO <ACS>", "?"),
    ("Likely <viral fever>", "?"),
    ("<Pneumonia> likely.", "?"),
    ("<PE> is unlikely", "?"),
    ("<PE> unlikely given normal <T:D-dimer>", "? P"),
    ("Suspected <appendicitis>, no <peritonitis>", "? N"),
    ("Cannot exclude <malignancy>.", "?"),
    ("<Malignancy> cannot be excluded.", "?"),
    ("Findings suggestive of <TB>", "?"),
    ("probable <gout> vs <septic arthritis>", "? ?"),
    ("Possible <pneumonia>, started on <M:augmentin>", "? P"),
    ("Low suspicion for <PE>", "?"),
    # hypothetical
    ("KIV <R:admission>", "H"),
    ("KIV <T:CT brain>, start <M:aspirin>", "H H"),
    ("Return if <fever> or <bleeding>.", "H H"),
    ("<M:Paracetamol> PRN for <pain>", "P H"),
    ("High risk of <falls>", "H"),
    ("Risk of <bleeding> with <M:warfarin>", "H P"),
    ("Patient declined <M:aspirin>", "N"),
    ("Patient declined <R:surgery>", "H"),
    ("<DVT> prophylaxis", "H"),
    ("Watch for <bleeding>.", "H"),
    ("Should he develop <chest pain>, come back", "H"),
    ("To return if no improvement in <pain>", "H"),
    ("Planned for <R:TKR>", "H"),
    ("Awaiting <T:MRI>", "H"),
    ("TCU 4/12 with <T:HbA1c>, <T:LDL>", "H H"),
    ("will arrange a <T:treadmill test>", "H"),
    # historical
    ("History of <MI>.", "O"),
    ("h/o <CVA> with <hemiparesis>", "O O"),
    ("s/p <R:CABG> 2015", "O"),
    ("Previous <TB>", "O"),
    ("<MI> 5 years ago", "O"),
    ("<Stroke> in 2009, <HTN> diagnosed in 2009", "O P"),
    ("<Rash> has resolved", "O"),
    ("78 year old man with <CCF>", "P"),
    ("for the past 3 days <fever>", "P"),
    ("History of <DM>, presents with <chest pain>", "O P"),
    ("History taken from daughter: <fever> x3/7", "P"),
    ("<M:Aspirin> stopped", "O"),
    ("no longer has <cough>", "O"),
    # family
    ("Family history of <breast cancer>.", "F"),
    ("FHx of <CA breast>", "F"),
    ("Mother has <DM>, patient has <HTN>.", "F P"),
    ("<DM> (mother), <HTN> (father)", "F F"),
    ("<Breast cancer> in her sister", "F"),
    ("Father: <CA colon>", "F"),
    ("Mother reports <fever> since Tuesday", "P"),
    ("Brought in by daughter with <confusion>", "P"),
    ("Lives with wife, has <dementia>", "P"),
    ("No family history of <breast cancer>", "N"),
    ("Mother has no <DM>", "N"),
    # since when: it is now
    ("Presented with 3-day history of <cough> and <fever>.", "P P"),
    ("2/7 h/o <abdominal pain>, h/o <CVA>", "P O"),
    ("two years' history of <dyspepsia>", "P"),
    # the cause that is only possible, and the complaint that is not
    ("<SOB> likely secondary to <CCF>", "P ?"),
    ("<TIA> vs <migraine>", "? ?"),
    ("likely <IECOPD> with underlying <COPD>", "? P"),
    ("<DVT> has been ruled out.", "N"),
    ("Should <rash> occur, stop the drug.", "H"),
    ("Ø <fever>, Ø <chills>", "N N"),
    ("No <diaphoresis>, associated with <nausea>", "N P"),
    ("No contraindication to <R:thrombolysis>", "P"),
    ("Does not appear to be in <distress>", "N"),
    ("For <T:MRI spine> on Monday", "H"),
    ("Sent for <T:CT brain>, shows <infarct>", "P P"),
    ("<R:CABG> 2010, now <chest pain>", "O P"),
    ("No further <vomiting>", "N"),
    ("Stopped: <M:metformin>, <M:aspirin>", "O O"),
    ("<M:Paracetamol> 1 g prn x 1/52\nStopped: <M:metformin>", "P O"),
    ("<M:Lactulose> 10 ml TDS PRN <constipation>", "P H"),
    ("Suggest <T:PET-CT> and <T:biopsy>", "H H"),
    ("Findings suggest <pneumonia>", "?"),
    ("<HIV> non-reactive, <syphilis> reactive", "N P"),
    ("<Cough> no better with <M:antibiotics>", "P P"),
    # the parts of a finding claim nothing
    ("No <fever>, <T:Hb> <V:10>", "N P P"),
]


@pytest.mark.parametrize(("marked", "expected"), SENTENCES, ids=[row[0][:60] for row in SENTENCES])
def test_a_finding_is_meant_as_a_reader_takes_it(marked, expected):
    """Each sentence of the table is read as a clinician reads it."""
    assert [c.assertion for c in contexts(marked)] == [MEANS[sign] for sign in expected.split()]


# A heading decides where no trigger does, and its reach ends where a reader ends it.
SECTIONS = [
    ("Past Medical History:\n<DM>\n<HTN>\n\nPlan:\n<T:CT brain>", "O O H"),
    ("PMHx: <DM>, <HTN>\nc/o <chest pain>", "O O P"),
    ("FHx: mother <DM>\n<Cough> x 3/7", "F P"),
    ("FAMILY HISTORY\n<DM>\nfather <CA colon>\n\n<Fever> since Monday", "F F P"),
    ("Family history: nil of note\nHas <fever>", "P"),
    ("Family history:\nNo <breast cancer>", "N"),
    ("Plan:\n- <T:MRI>\n- continue <M:aspirin>", "H P"),
    ("PMH: no <DM>. <HTN>", "N O"),
    ("Advice: return if <fever>", "H"),
    ("Differential diagnosis: <PE>, <MI>", "? ?"),
    ("FHx: mother <DM>  Allergies: <M:penicillin>", "F P"),
    ("Unknown heading:\n<DM>", "P"),
]


@pytest.mark.parametrize(("marked", "expected"), SECTIONS, ids=[row[0][:60] for row in SECTIONS])
def test_a_section_decides_where_no_trigger_does(marked, expected):
    """A diabetes under "Family history" is not the patient's, and the plain line below is."""
    assert [c.assertion for c in contexts(marked)] == [MEANS[sign] for sign in expected.split()]


@pytest.mark.parametrize(
    ("marked", "kin"),
    [
        ("Family history:\nFather had <DM>.\nPatient denies <chest pain>.\nHe has <HTN>.", "FTH - -"),
        ("Family history: mother had <breast cancer>. Mdm Tan has no <breast lump>.", "MTH -"),
        ("Family history: The patient has <asthma>, mother has <DM>.", "- MTH"),
        ("FHx:\nMother has <DM>.\nShe had a <stroke> at 60.", "MTH FAMMEMB"),
        ("FHx:\nHe has two brothers with <HTN>.", "BRO"),
        ("FHx:\nPatient's mother has <DM>.", "MTH"),
        ("FHx:\nPatient denies family history of <CA colon>.", "FAMMEMB"),
    ],
)
def test_a_family_history_that_names_the_patient_speaks_of_the_patient(marked, kin):
    """What the patient denies is no relative's; "she" behind a mother is the mother."""
    assert [c.kin or "-" for c in contexts(marked)] == kin.split()


def test_a_test_with_a_value_was_done_even_under_plan():
    """A measured test is a result wherever it stands."""
    text, spans = read("Plan:\nrepeat <T:FBC>, <T:Hb> 10.2")
    found = contexts_of(text, spans, find_sections(text), measured={1})
    assert [c.assertion for c in found] == [Assertion.HYPOTHETICAL, Assertion.PRESENT]


@pytest.mark.parametrize(
    ("marked", "kin"),
    [
        ("Mother has <DM>", "MTH"),
        ("Maternal grandmother had <CA breast>", "MGRMTH"),
        ("<DM> in his father", "FTH"),
        ("Mother <DM>, brother <HTN>", "MTH BRO"),
        ("FHx: <DM>", "FAMMEMB"),
        ("No family history of <DM>", "FAMMEMB"),
        ("Has <DM>", ""),
    ],
)
def test_the_relative_is_named(marked, kin):
    """FamilyMemberHistory needs to say whose disease it is (HL7 v3-RoleCode)."""
    assert " ".join(c.kin for c in contexts(marked)) == kin


@pytest.mark.parametrize(
    ("marked", "allergy"),
    [
        ("Allergic to <M:penicillin>", True),
        ("<M:Penicillin> allergy", True),
        ("Drug allergy: <M:penicillin> (<rash>)", True),
        ("Allergies:\n<M:Aspirin>", True),
        ("No allergy to <M:penicillin>", True),
        ("Started on <M:penicillin>", False),
        ("<M:penicillin> given, <rash> noted", False),
    ],
)
def test_the_cause_of_an_allergy_is_no_treatment(marked, allergy):
    """A medicine the patient must not have is never taken for one that he has."""
    assert contexts(marked)[0].allergy is allergy


@pytest.mark.parametrize(
    ("marked", "means"),
    [
        ("Imp: <CCF>. Repeat <T:FBC>, <T:U/E/Cr> mane.", "P H H"),
        ("1. Chase <T:MRI spine>", "H"),
        ("- pls send <T:troponin> and <T:lactate> stat", "H H"),
        ("Book <R:OGD>.", "H"),
        ("Repeat <T:CT brain> showed <infarct>.", "P P"),
        ("Repeat <T:Hb> stable", "P"),
        ("Check <T:BP> standing: postural drop", "P"),
    ],
)
def test_a_statement_that_only_asks_for_a_test_is_no_test_done(marked, means):
    """An order is not a result: it must not become an Observation. What is said of a test that was done stays."""
    assert [c.assertion for c in contexts(marked)] == [MEANS[m] for m in means.split()]


def test_a_test_with_a_value_was_done():
    """ "Repeat Hb 8.2" is a result."""
    text, spans = read("Repeat <T:Hb> 8.2")
    assert contexts_of(text, spans, (), measured={0})[0].assertion is Assertion.PRESENT


def test_no_allergy_is_negated():
    """Denied and stated allergies are told apart."""
    assert contexts("No allergy to <M:penicillin>")[0].assertion is Assertion.NEGATED


def test_a_sentence_of_triggers_is_read_in_linear_time():
    """A hostile note of 100,000 triggers costs seconds, not hours."""
    text = "no fever " * 20_000
    spans = [Span(at + 3, at + 8, Label.PROBLEM, 1.0) for at in range(0, len(text), 9)]
    assert all(c.assertion is Assertion.NEGATED for c in contexts_of(text, spans, ()))
