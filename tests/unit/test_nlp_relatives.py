"""Diseases of relatives told in prose: whose they are, from what age on, and that they are never the patient's."""

import asyncio

import pytest

from engine.fhir.validate import validate_bundle
from engine.nlp.kinfolk import told_of
from engine.nlp.readers import Readers
from engine.nlp.terminology import TableTerminology
from engine.nlp.to_fhir import annotate
from engine.records import Label, Note
from models.baseline import SHORTHAND_SCORES, RuleExtractor
from models.both import BothExtractor

RULES = RuleExtractor(SHORTHAND_SCORES)

# Sentence: the patient's own, and each relative's disease with role code and age (of its onset or of death).
SENTENCES = [
    ("Mother had breast cancer at 45, father is well.", "", "breast cancer MTH 45"),
    ("Her brother, who has type 1 diabetes, visited. She has a cough.", "cough", "type 1 diabetes BRO"),
    ("FHx: nil of note. Presented with fever.", "fever", ""),
    ("No family history of colon cancer.", "", "colon cancer FAMMEMB"),
    ("Mum's dementia has been stressful; she reports insomnia.", "insomnia", "dementia MTH"),
    ("Lives with mother, has asthma.", "asthma", ""),
    ("Father died of myocardial infarction at age 52.", "", "myocardial infarction FTH 52"),
    ("Patient's father passed away from lung cancer when he was 60.", "", "lung cancer FTH 60"),
    ("His maternal aunt was diagnosed with ovarian cancer aged 38.", "", "ovarian cancer MAUNT 38"),
    ("Brought in by daughter with confusion and falls.", "confusion", ""),
    ("Mother is a nurse. He has eczema.", "eczema", ""),
    ("Two sisters have hypothyroidism, the patient has hypertension.", "hypertension", "hypothyroidism SIS"),
    ("He cares for his wife who has dementia. He has back pain.", "back pain", "dementia WIFE"),
    ("Strong family history of stroke. Father MI at 50, brother gout at 48.", "", "stroke FAMMEMB; MI FTH 50; gout BRO 48"),
    ("Her son had chickenpox last week and she now has a rash.", "rash", "chickenpox SONC"),
    ("Mother reports that he has had fever for three days.", "fever", ""),
    ("There is a family history of diabetes in his mother and hypertension in his father.", "", "diabetes MTH; hypertension FTH"),
    ("Her husband smokes. She developed dyspnoea after visiting her sister.", "dyspnoea", ""),
    ("Mother (deceased, breast cancer), father (alive, gout).", "", "breast cancer MTH; gout FTH"),
    ("Neither parent has diabetes.", "", "diabetes PRN"),
    ("She was adopted and family history is unknown. Known asthma.", "asthma", ""),
    ("Dad had a stroke at 66; mum is alive and well.", "", "stroke FTH 66"),
    ("Patient stays with her son. Has diabetes.", "diabetes", ""),
    ("His sister's asthma is well controlled. He denies wheeze.", "wheeze", "asthma SIS"),
    ("Mother was diagnosed at 41 with lupus and her maternal uncle has schizophrenia.", "", "lupus MTH 41; schizophrenia MUNCLE"),
    ("Daughter noticed jaundice and weight loss.", "jaundice; weight loss", ""),
    ("The child's father has asthma and the child has eczema.", "eczema", "asthma FTH"),
    ("Parents are healthy, older brother has Crohn's disease (diagnosed at 22).", "", "Crohn's disease BRO 22"),
    ("He was hit by his brother and has a scalp laceration.", "scalp laceration", ""),
    ("Mother took metformin 500 mg BD for diabetes 10 years ago.", "", "diabetes MTH"),
]  # fmt: skip


def reading_of(text, reader=RULES):
    return asyncio.run(
        Readers(reader).read(Note("n", text, document="DocumentReference/d"), however_short=True)
    )


def family(text, reader=RULES):
    """The patient's own problems, and the relatives' as in SENTENCES."""
    reading = reading_of(text, reader)
    own, theirs = [], []
    for entity, context in zip(reading.entities, reading.contexts, strict=True):
        if entity.label is Label.PROBLEM and context.kin:
            told = told_of(text, entity.start, entity.end)
            age = told.onset or told.died_at
            theirs.append(f"{entity.text} {context.kin}" + (f" {age}" if age else ""))
        elif entity.label is Label.PROBLEM:
            own.append(entity.text)
    return own, "; ".join(theirs)


@pytest.mark.parametrize(("text", "own", "theirs"), SENTENCES, ids=[row[0][:50] for row in SENTENCES])
def test_a_relatives_disease_is_the_relatives_alone(text, own, theirs):
    found_own, found_theirs = family(text)
    assert found_theirs == theirs
    assert set(own.split("; ")) - {""} <= set(found_own)
    assert not {part.rsplit(" ", 1)[0] for part in theirs.split("; ")} & set(found_own)


def histories(text):
    found = annotate(
        reading_of(text),
        RULES.info,
        TableTerminology(),
        base="urn:w:",
        min_score=0.5,
        recorded="2026-03-04T05:06:07Z",
    )
    assert validate_bundle(found.bundle, closed=False) == []
    made = [entry["resource"] for entry in found.bundle["entry"]]
    return [resource for resource in made if resource["resourceType"] == "FamilyMemberHistory"]


def test_age_of_onset_and_death_are_told():
    """Ages are UCUM years; who died of it at 52 did not begin with it at 52."""
    by_text = {h["condition"][0]["code"]["text"]: h for h in histories(
        "Mother had breast cancer at 45. Father died of MI at 52. Late grandfather had stroke in his 70s. Brother with gout."
    )}  # fmt: skip
    assert by_text["breast cancer"]["condition"][0]["onsetAge"] == {
        "value": 45, "unit": "years", "system": "http://unitsofmeasure.org", "code": "a",
    }  # fmt: skip
    assert "deceasedBoolean" not in by_text["breast cancer"]
    assert by_text["MI"]["deceasedAge"]["value"] == 52
    assert by_text["MI"]["condition"][0]["contributedToDeath"] is True
    assert "onsetAge" not in by_text["MI"]["condition"][0]
    assert by_text["stroke"]["deceasedBoolean"] is True
    assert by_text["stroke"]["condition"][0]["onsetString"] == "in his 70s"
    assert not {"deceasedBoolean", "deceasedAge"} & by_text["gout"].keys()


@pytest.mark.parametrize(
    "text",
    ["Mother has DM at 3 pm", "Mother has DM, HbA1c 45", "Mother has asthma at 12 weeks", "Mother has asthma 5/7", "Mother has gout at 450"],
)  # fmt: skip
def test_other_numbers_are_no_ages(text):
    (history,) = histories(text)
    assert "onsetAge" not in history["condition"][0]


def test_one_relatives_death_is_not_anothers():
    dead = {h["relationship"]["coding"][0]["code"]: h.get("deceasedBoolean", False) for h in histories(
        "Mother has DM, father deceased, had gout."
    )}  # fmt: skip
    assert dead == {"MTH": False, "FTH": True}


class Passing:
    """A model that passes over relatives, as the one that ships was taught to."""

    info = RULES.info
    languages = frozenset({"en"})

    async def extract(self, notes):
        return [[] for _ in notes]


def test_in_prose_the_rules_read_what_the_model_passes_over():
    """And nothing else of the note, which is the model's."""
    text = "The patient has a cough and was seen in the clinic. His father has gout. There is no family history of asthma."
    own, theirs = family(text, BothExtractor(Passing(), RULES))
    assert (own, theirs) == ([], "gout FTH; asthma FAMMEMB")
