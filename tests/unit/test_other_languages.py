"""What English notes say in Malay, Mandarin and Tamil: found by word lists, meant as said, coded as the English term, and the rest still told as unread."""

import asyncio
import time
from pathlib import Path

import pytest

from engine.fhir.validate import validate_bundle
from engine.nlp.readers import Readers
from engine.nlp.terminology import TableTerminology
from engine.nlp.to_fhir import annotate
from engine.records import Assertion, Note
from engine.settings import Nlp
from models.baseline import LEXICON_ID, SHORTHAND_SCORES, RuleExtractor
from models.corpora.reading import read_corpora
from models.evaluate import evaluate
from models.lexicon.other_languages import _terms

NOTES = Path(__file__).resolve().parents[2] / "fixtures" / "notes"
RULES = RuleExtractor(SHORTHAND_SCORES)


def read(text, reader=RULES):
    return asyncio.run(
        Readers(reader).read(Note("n", text, document="DocumentReference/d"), however_short=True)
    )


def said(text):
    """(words, English, assertion, relative) of what is not in English."""
    reading = read(text)
    pairs = zip(reading.entities, reading.contexts, strict=True)
    return [(e.text, e.english, e.assertion.value, c.kin) for e, c in pairs if e.language]


def unread(text):
    return [text[stretch.start : stretch.end] for stretch in read(text).foreign]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Pt mengadu demamnya tinggi, gatal-gatal.", [("demamnya tinggi", "high fever", "present", ""), ("gatal-gatal", "itch", "present", "")]),
        ("Lutut kanan sakit, sakit lutut kiri.", [("Lutut", "knee", "present", ""), ("sakit lutut", "knee pain", "present", "")]),
        ("Tiada demam atau batuk, ada sesak nafas.", [("demam", "fever", "negated", ""), ("batuk", "cough", "negated", ""), ("sesak nafas", "dyspnoea", "negated", "")]),
        ("Muntah tiada. Mungkin denggi.", [("Muntah", "vomiting", "negated", ""), ("denggi", "dengue", "possible", "")]),
        ("Ibu ada kencing manis. Emak kata dia pening.", [("kencing manis", "diabetes mellitus", "family", "MTH"), ("pening", "dizziness", "present", "")]),
        ("Pernah kena strok. Kalau sakit dada, datang.", [("strok", "stroke", "historical", ""), ("sakit dada", "chest pain", "hypothetical", "")]),
        ("病人左膝痛,无发热、咳嗽,可能便秘。", [("左膝痛", "knee pain", "present", ""), ("发热", "fever", "negated", ""), ("咳嗽", "cough", "negated", ""), ("便秘", "constipation", "possible", "")]),
        ("母親有糖尿病,病人有高血壓。", [("糖尿病", "diabetes mellitus", "family", "MTH"), ("高血壓", "hypertension", "present", "")]),
        ("女儿说她头晕。如有胸痛回急诊。", [("头晕", "dizziness", "present", ""), ("胸痛", "chest pain", "hypothetical", "")]),
        ("有中风病史。其中风险高。不咳嗽。", [("中风", "stroke", "historical", ""), ("咳嗽", "cough", "negated", "")]),
        ("காய்ச்சலுடன் இருமல், வாந்தி இல்லை.", [("காய்ச்சலுடன்", "fever", "present", ""), ("இருமல்", "cough", "present", ""), ("வாந்தி", "vomiting", "negated", "")]),
        ("காய்ச்சலில்லை. கால் வீக்கத்தால் வலி.", [("காய்ச்சல", "fever", "negated", ""), ("கால் வீக்கத்தால்", "leg swelling", "present", ""), ("வலி", "pain", "present", "")]),
        ("அம்மாவுக்கு ஆஸ்துமா. பக்கவாதம் முன்பு. நிமோனியா இருக்கலாம்.", [("ஆஸ்துமா", "asthma", "family", "MTH"), ("பக்கவாதம்", "stroke", "historical", ""), ("நிமோனியா", "pneumonia", "possible", "")]),
        ("மூட்டு வலியால் நடக்க முடியவில்லை.", [("மூட்டு வலியால்", "joint pain", "present", "")]),
    ],
)  # fmt: skip
def test_fragments_are_found_and_meant_as_said(text, found):
    """Endings, halves of doubled words, script and order of words are those of each language."""
    assert said(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "Mdm Siti binte Demam seen, son Batuk at bedside, NOK Encik Lelah.",
        "Lives at Kaki Bukit with Luka Dada and Gigi Mata; works in Hati Cafe.",
        "DADA scale 3, MATA 2, LUKA clinic. Asma Khan, 34F.",
        "Air entry equal. Kata practice. Nadi is in Fiji, Dr Murung called.",
        "Dr 陈美玲 and 林安 reviewed at 大巴窑 polyclinic.",
        "其中风险较高, 发热门诊 closed.",
        "கைது செய்தார், வலிமை, காலை, தலைவர்.",
    ],
)
def test_names_places_and_longer_words_are_no_findings(text):
    assert said(text) == []


def test_endings_that_make_another_word_of_it_are_not_taken():
    """வலிப்பு is a seizure and no pain; a decomposed vowel is the same vowel."""
    assert [english for _, english, *_ in said("வலிப்பு வந்தது")] == ["seizure"]
    assert [english for _, english, *_ in said("மெட்பார்மின் கொடுத்தார், தொண்டை வலி")] == ["metformin", "sore throat"]
    assert [english for _, english, *_ in said("த\u0bc6\u0bbeண்டை வலி")] == ["sore throat"]


def test_values_and_doses_beside_them_are_read():
    reading = read(
        "病人血压162/94,体温38.5。服布洛芬200毫克 每天三次。Tekanan darah 150/90. Panadol 2 biji setiap malam."
    )
    words = [
        (e.text, e.label.value, [reading.entities[at].text for at in e.related]) for e in reading.entities
    ]
    assert ("血压", "TEST", ["162/94"]) in words
    assert ("体温", "TEST", ["38.5"]) in words
    assert ("布洛芬", "MEDICATION", ["200毫克 每天三次"]) in words
    assert ("Tekanan darah", "TEST", ["150/90"]) in words
    assert ("Panadol", "MEDICATION", ["2 biji setiap malam"]) in words


def test_fhir_says_the_words_what_they_mean_and_who_found_them():
    """Coded as the English term, with the original words, an English translation, the language, and a Device of its own."""
    reading = read("Pesakit ada kencing manis, no chest pain. 对青霉素过敏。血压 150/90.")
    found = annotate(
        reading, RULES.info, TableTerminology(), base="urn:w:", min_score=0.5, recorded="2026-03-04T05:06:07Z"
    )
    assert validate_bundle(found.bundle, closed=False) == []
    made = [entry["resource"] for entry in found.bundle["entry"]]
    diabetes = next(
        r for r in made if r["resourceType"] == "Condition" and r["code"]["text"] == "kencing manis"
    )
    assert {"system": "http://snomed.info/sct", "code": "73211009"} in diabetes["code"]["coding"]
    (translation,) = diabetes["code"]["_text"]["extension"]
    assert [part.get("valueString") for part in translation["extension"]] == [None, "diabetes mellitus"]
    details = next(e["extension"] for e in diabetes["extension"] if e["url"].endswith("nlp-finding"))
    assert {"url": "language", "valueCode": "ms"} in details
    (allergy,) = [r for r in made if r["resourceType"] == "AllergyIntolerance"]
    assert allergy["code"]["text"] == "青霉素"
    pressure = next(r for r in made if r["resourceType"] == "Observation")
    assert [part["valueQuantity"]["value"] for part in pressure["component"]] == [150, 90]
    devices = {r["deviceName"][0]["name"]: r["id"] for r in made if r["resourceType"] == "Device"}
    assert set(devices) == {"wardstream-rules", LEXICON_ID}
    of_lists = next(
        r for r in made if r["resourceType"] == "Provenance" and devices[LEXICON_ID] in str(r["agent"])
    )
    assert {"reference": f"Condition/{diabetes['id']}"} in of_lists["target"]


def test_what_no_list_knows_is_still_told():
    """Only words that are known count as read; a pseudo-trigger such as "not taking it" is nothing that was read."""
    assert unread("Pt 患者胸痛两天, 没有发烧. BP 120/80.") == []
    assert unread("Pt 说要回乡下拜年, 头痛.") == ["说要回乡下拜年"]
    assert unread("Patient kata dia sakit kepala sejak tiga hari.") == []
    assert unread("Patient kata dia sakit kepala lepas berkebun semalam.") == ["lepas berkebun"]
    assert unread("வயிற்று வலி, பேரன் வெளிநாட்டில்.") == ["பேரன் வெளிநாட்டில்"]
    assert unread("头晕, 没有吃药.") == ["没有吃药"]


def test_offsets_are_those_of_the_original_text():
    """With CRLF, full-width marks, wide characters and combining marks before it."""
    text = "\U0001f600 Pt：\r\n　病人说“肚子痛”，காய்ச்சல்\u200c உள்ளது；demam\r\n"
    for entity in read(text).entities:
        assert text[entity.start : entity.end] == entity.text
    assert {entity.text for entity in read(text).entities} >= {"肚子痛", "demam"}


def test_each_line_of_the_lists_is_found_by_itself():
    """A phrase that another hides, or that folding breaks, would stand there for nothing."""
    lost = []
    for language in ("ms", "zh", "ta"):
        for phrase, term in _terms(language):
            if term.label is None or term.unsure:
                continue
            found = [f for f in RULES.findings(phrase) if f.start == 0 and f.end == len(phrase)]
            if not found:
                lost.append((language, phrase))
    assert lost == []


@pytest.mark.parametrize(("name", "least"), [("development", 0.95), ("held-out", 0.95)])
def test_the_notes_written_before_the_lists_are_read(name, least):
    """Both halves, assertion included; without the lists their F1 is under 0.5."""
    documents = read_corpora([NOTES / f"other-languages-{name}.jsonl"]).documents
    report = asyncio.run(evaluate(RULES, documents, Nlp())).report
    assert report["strict"]["micro"]["f1"] >= least


def test_a_negated_family_or_supposed_finding_gives_no_condition_of_the_patient():
    reading = read("父亲有肺癌。如有发烧回急诊。Tiada sawan.")
    assert {e.assertion for e in reading.entities} == {
        Assertion.FAMILY,
        Assertion.HYPOTHETICAL,
        Assertion.NEGATED,
    }


@pytest.mark.parametrize(
    "text", ["头痛" * 20_000, "காய்ச்சலுடன் " * 8_000, "sakit kepala " * 8_000, "sakit" * 20_000]
)
def test_long_texts_of_one_kind_take_linear_time(text):
    began = time.process_time()
    RULES.spans(text)
    assert time.process_time() - began < 8
