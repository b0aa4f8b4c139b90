"""What was read, as FHIR: valid, marked as machine-made, and claiming no more than it may."""

import re
from decimal import Decimal

import pytest

from engine.fhir.validate import second_opinion, validate_bundle
from engine.fhir.writer import dumps
from engine.nlp.attribution import CONFIDENCE
from engine.nlp.reading import read_note
from engine.nlp.terminology import TableTerminology
from engine.nlp.to_fhir import annotate
from engine.records import Label, ModelInfo, Note, Span

MODEL = ModelInfo("test-model", "1", "rules")
NOTE_ID = "3f8e0b0e-6d5c-5a55-9d53-0f6b7a5f2c11"
BASE = "https://hospital.example/wardstream/"
FINDING = BASE + "StructureDefinition/nlp-finding"
LABELS = {
    "M": Label.MEDICATION,
    "T": Label.TEST,
    "R": Label.PROCEDURE,
    "V": Label.TEST_VALUE,
    "D": Label.DOSAGE,
    "A": Label.ANATOMY,
}
MARK = re.compile(r"<(?:([MTRVDA]):)?([^<>]+)>")


def note_of(marked, **fields):
    """A note, and a span for each ``<problem>`` or ``<M:medicine>``."""
    text, spans, at = "", [], 0
    for mark in MARK.finditer(marked):
        text += marked[at : mark.start()]
        label = LABELS.get(mark[1] or "", Label.PROBLEM)
        spans.append(Span(len(text), len(text) + len(mark[2]), label, 0.9))
        text += mark[2]
        at = mark.end()
    known = {
        "patient": "Patient/p1",
        "encounter": "Encounter/e1",
        "document": "DocumentReference/d1",
        "element": "DocumentReference.content[0].attachment",
        "written_at": "2026-03-04T05:06:07+08:00",
    }
    return Note(NOTE_ID, text + marked[at:], **(known | fields)), spans


def annotated(marked, *, model=MODEL, min_score=0.5, **fields):
    note, spans = note_of(marked, **fields)
    reading = read_note(note, spans)
    return annotate(
        reading,
        model,
        TableTerminology(),
        base=BASE,
        min_score=min_score,
        recorded="2026-03-04T05:06:07+08:00",
    )


def made(marked, kind, **fields):
    """The resources of one type, in the order of the text."""
    found = annotated(marked, **fields).bundle
    resources = [entry["resource"] for entry in (found or {}).get("entry", [])]
    return sorted((r for r in resources if r["resourceType"] == kind), key=places)


def places(resource):
    """Where its words stand, those of its parts included."""
    finding = next(e for e in resource["extension"] if e["url"] == FINDING)
    parts = [
        inner["extension"][0]["valueInteger"] for inner in finding["extension"] if inner["url"] == "part"
    ]
    return [detail(resource, "start"), *parts]


def detail(resource, name):
    for extension in resource.get("extension", []):
        if extension["url"] == FINDING:
            for inner in extension["extension"]:
                if inner["url"] == name:
                    return next(value for key, value in inner.items() if key.startswith("value"))
    return None


def status(resource, element):
    return resource[element]["coding"][0]["code"] if element in resource else None


CONDITIONS = [
    ("Has <fever>", "active", "unconfirmed"),
    ("No <fever>", None, "refuted"),
    ("?<pneumonia>", None, "provisional"),
    ("Differential diagnosis: <pneumonia>", None, "differential"),
    ("History of <DM>", None, "unconfirmed"),
]


@pytest.mark.parametrize(("marked", "clinical", "verification"), CONDITIONS, ids=[c[0] for c in CONDITIONS])
def test_a_problem_claims_what_the_text_says(marked, clinical, verification):
    """Denied is refuted, feared is provisional; nothing is ever confirmed, and a past disease is not called inactive."""
    (condition,) = made(marked, "Condition")
    assert status(condition, "clinicalStatus") == clinical
    assert status(condition, "verificationStatus") == verification


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("Given <M:aspirin>", "unknown"),
        ("Medications: <M:aspirin>", "active"),
        ("Plan: <M:aspirin>", "intended"),
        ("KIV <M:aspirin>", "intended"),
        ("Not on <M:aspirin>", "not-taken"),
        ("<M:Aspirin> stopped", "unknown"),
    ],
)
def test_a_medicine_is_active_only_where_a_list_says_so(marked, expected):
    """A mention is no prescription."""
    (statement,) = made(marked, "MedicationStatement")
    assert statement["status"] == expected


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("For <R:CABG> review", "unknown"),
        ("s/p <R:CABG>", "completed"),
        ("No <R:surgery> before", "not-done"),
    ],
)
def test_a_procedure_is_completed_only_in_history(marked, expected):
    """A word for an operation does not tell that it was done."""
    (procedure,) = made(marked, "Procedure")
    assert procedure["status"] == expected


def test_what_is_planned_or_feared_gives_nothing_but_a_count():
    """ "Return if fever" must not become a fever, and must not go without trace."""
    found = annotated("Return if <fever>. KIV <T:CT brain>. KIV <R:surgery>")
    assert found.bundle is None
    assert found.withheld == {"hypothetical": 3}


def test_a_relatives_disease_becomes_family_history():
    """The mother's diabetes is no Condition of the patient."""
    (history,) = made("Mother has <DM>", "FamilyMemberHistory")
    assert history["relationship"]["coding"][0]["code"] == "MTH"
    assert history["condition"][0]["code"]["text"] == "DM"
    assert made("Mother has <DM>", "Condition") == []


def test_a_denied_family_history_names_no_condition():
    """FamilyMemberHistory can't deny a disease, so a note says it and no code does."""
    (history,) = made("No family history of <breast cancer>", "FamilyMemberHistory")
    assert "condition" not in history
    assert history["note"][0]["text"] == "Denied in the source: breast cancer"


def test_an_allergy_is_no_treatment():
    """Penicillin that did harm becomes an AllergyIntolerance with what it did."""
    (allergy,) = made("Allergic to <M:penicillin> (<rash>)", "AllergyIntolerance")
    assert status(allergy, "verificationStatus") == "unconfirmed"
    assert allergy["reaction"][0]["manifestation"][0]["text"] == "rash"
    assert made("Allergic to <M:penicillin> (<rash>)", "MedicationStatement") == []
    assert made("Allergic to <M:penicillin> (<rash>)", "Condition") == []


def test_a_denied_allergy_is_refuted():
    """ait-1 wants a clinicalStatus all the same."""
    (allergy,) = made("No allergy to <M:aspirin>", "AllergyIntolerance")
    assert status(allergy, "verificationStatus") == "refuted"
    assert status(allergy, "clinicalStatus") == "inactive"


def test_a_result_is_preliminary_with_value_unit_and_code():
    """Hb 10.2 g/dL is all there: digits, UCUM, LOINC."""
    (observation,) = made("<T:Hb> <V:10.2 g/dL>", "Observation")
    assert observation["status"] == "preliminary"
    assert observation["code"]["coding"] == [{"system": "http://loinc.org", "code": "718-7"}]
    assert observation["valueQuantity"]["value"] == Decimal("10.2")
    assert observation["valueQuantity"]["code"] == "g/dL"
    assert observation["derivedFrom"] == [{"reference": "DocumentReference/d1"}]


def test_a_blood_pressure_has_two_components():
    """As the vital signs profile of FHIR R4 wants it, unit implied."""
    (pressure,) = made("<T:BP> <V:120/80>", "Observation")
    assert [c["code"]["coding"][0]["code"] for c in pressure["component"]] == ["8480-6", "8462-4"]
    assert [c["valueQuantity"]["value"] for c in pressure["component"]] == [120, 80]
    assert {c["valueQuantity"]["code"] for c in pressure["component"]} == {"mm[Hg]"}


@pytest.mark.parametrize(("value", "unit"), [("37.8", "Cel"), ("99", None)])
def test_a_unit_is_implied_only_where_it_goes_without_saying(value, unit):
    """37.8 is Celsius; 99 is nobody knows what, and then it is no coded temperature either."""
    (observation,) = made(f"<T:T> <V:{value}>", "Observation")
    assert observation["valueQuantity"].get("code") == unit
    assert ("coding" in observation["code"]) is (unit is not None)


def test_words_are_a_value_or_the_interpretation_of_a_number():
    """ "raised at 145" is one observation, high; "normal" alone is its value."""
    (number,) = made("<T:creatinine> <V:raised> at <V:145 umol/L>", "Observation")
    assert number["valueQuantity"]["value"] == 145
    assert number["interpretation"][0]["coding"][0]["code"] == "H"
    (word,) = made("<T:CXR>: <V:normal>", "Observation")
    assert word["valueCodeableConcept"] == {"text": "normal"}
    assert word["interpretation"][0]["coding"][0]["code"] == "N"


def test_each_number_of_a_series_is_an_observation():
    """Hb 10.2 -> 8.9 are two results with two ids."""
    first, second = made("<T:Hb> <V:10.2> -> <V:8.9>", "Observation")
    assert first["id"] != second["id"]
    assert [o["valueQuantity"]["value"] for o in (first, second)] == [Decimal("10.2"), Decimal("8.9")]


def test_a_test_without_a_value_says_that_it_is_unknown():
    """No result is made up for a test that is only named."""
    (observation,) = made("<T:MRI> reviewed", "Observation")
    assert status(observation, "dataAbsentReason") == "unknown"
    (denied,) = made("No <T:MRI> done", "Observation")
    assert status(denied, "dataAbsentReason") == "not-performed"


def test_an_earlier_value_has_no_time():
    """A past result must not look like today's."""
    today, before = made("<T:HbA1c> <V:7.4%> (prev <V:8.1%>)", "Observation")
    assert today["effectiveDateTime"] == "2026-03-04T05:06:07+08:00"
    assert "effectiveDateTime" not in before
    assert "_effectiveDateTime" in before


def test_a_dosage_joins_its_parts_as_written():
    """Route before and dose after the name make one Dosage."""
    (statement,) = made("<D:IV> <M:ceftriaxone> <D:2 g daily>", "MedicationStatement")
    assert statement["dosage"][0]["text"] == "IV 2 g daily"
    (changed,) = made("<M:lisinopril> from <D:10 mg> to <D:20 mg BD>", "MedicationStatement")
    assert changed["dosage"][0]["text"] == "10 mg to 20 mg BD"


def test_every_resource_says_that_a_machine_made_it():
    """AIAST label, confidence, span and source on each: none can be taken for a clinician's."""
    bundle = annotated("Has <fever>. <M:Aspirin> given. <T:Hb> <V:10>. s/p <R:CABG>. Mother has <DM>").bundle
    found = [
        e["resource"]
        for e in bundle["entry"]
        if e["resource"]["resourceType"] not in {"Device", "Provenance"}
    ]
    assert len(found) == 5
    for resource in found:
        assert resource["meta"]["security"][0]["code"] == "AIAST"
        assert {e["url"] for e in resource["extension"]} == {CONFIDENCE, FINDING}
        assert detail(resource, "source") == {"reference": "DocumentReference/d1"}


def test_the_span_leads_back_to_the_words():
    """start and end index the note's text in code points."""
    note, _ = note_of("患者 has <fever>")
    (condition,) = made("患者 has <fever>", "Condition")
    assert (
        note.text[detail(condition, "start") : detail(condition, "end")]
        == "fever"
        == detail(condition, "text")
    )


def test_provenance_names_model_and_source_of_all():
    """One Provenance for the note: what was made, by which Device, from which document."""
    bundle = annotated("Has <fever> and <cough>").bundle
    by_type = {}
    for entry in bundle["entry"]:
        by_type.setdefault(entry["resource"]["resourceType"], []).append(entry["resource"])
    (provenance,), (device,) = by_type["Provenance"], by_type["Device"]
    targets = {t["reference"] for t in provenance["target"]}
    assert targets == {f"Condition/{c['id']}" for c in by_type["Condition"]}
    assert provenance["agent"][0]["who"]["reference"] == f"Device/{device['id']}"
    assert provenance["entity"][0]["what"] == {"reference": "DocumentReference/d1"}
    assert device["version"] == [{"value": "1"}]


def test_unread_text_is_flagged_on_the_provenance():
    """Who reads the resources learns that a part of the note was not read."""
    bundle = annotated("Has <fever>. 患者主诉胸痛两天").bundle
    provenance = next(e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Provenance")
    (flag,) = provenance["extension"]
    assert flag["url"].endswith("nlp-unread-language")
    assert {"url": "language", "valueCode": "zh"} in flag["extension"]


def test_the_same_note_gives_the_same_bytes():
    """A replay changes nothing."""
    marked = "Has <fever>. <M:Aspirin> <D:100 mg>. <T:Hb> <V:10.2>"
    assert dumps(annotated(marked).bundle) == dumps(annotated(marked).bundle)


def test_a_new_model_updates_what_the_old_one_wrote():
    """Ids are of the words: replaying notes under a new version leaves no second copy (decision 0004)."""
    newer = ModelInfo("other-model", "2", "CPUExecutionProvider")
    (old,) = made("Has <fever>", "Condition")
    (new,) = made("Has <fever>", "Condition", model=newer)
    assert old["id"] == new["id"]


@pytest.mark.parametrize("patient", ["", "nonsense", "Organization/o1"])
def test_an_unknown_patient_is_a_logical_reference(patient):
    """subject is required; an invented Patient would be worse than an honest "of that document"."""
    (condition,) = made("Has <fever>", "Condition", patient=patient)
    assert condition["subject"] == {
        "type": "Patient",
        "identifier": {"system": BASE + "subject-of", "value": "DocumentReference/d1"},
    }


def test_what_is_unsure_is_withheld():
    """Below nlp.min_score an entity gives no resource."""
    found = annotated("Has <fever>", min_score=0.95)
    assert found.bundle is None
    assert found.withheld == {"low-score": 1}


def test_a_span_without_words_gives_nothing_but_a_count():
    """A model that points at blanks makes no nameless Condition."""
    assert annotated("Has < >").withheld == {"blank": 1}


def test_parts_without_a_whole_are_counted():
    """A dose, a value and a body part by themselves are no resource and no secret."""
    assert annotated("<D:100 mg> and <V:10.2>, <A:left leg>").withheld == {"part-only": 3}


MIXED = [
    "Has <fever>, no <cough>, ?<PE>. PMHx: <DM>. FHx: mother <DM>, no <stroke>",
    "Allergies: <M:penicillin> (<rash>). Rx: <M:aspirin> <D:100 mg OM>, <D:IV> <M:ceftriaxone> <D:1 g q12h>",
    "<T:BP> <V:120/80>, <T:T> <V:37.8>, <T:Hb> <V:8.1 g/dL (L)>, <T:CRP> <V:3-5 mg/L>, <T:XYZ> <V:about ten>",
    "s/p <R:CABG>. <T:MRI>. No <T:CT> done. <T:K> <V:10-3>",
    "<fe\x07ver> and <M:asp\x00irin> <D:1\x0b mg>",
]


@pytest.mark.parametrize("fields", [{}, {"patient": "", "encounter": "", "document": "", "element": "", "written_at": ""},
                                    {"document": "Composition/c1", "patient": "urn:uuid:0c8e4c2e-8a4f-4cf6-9d53-0f6b7a5f2c11"}])  # fmt: skip
@pytest.mark.parametrize("marked", MIXED, ids=range(len(MIXED)))
def test_bundles_are_valid_r4(marked, fields):
    """Two independent checks find nothing, whatever is known of the source."""
    bundle = annotated(marked, **fields).bundle
    assert validate_bundle(bundle, closed=False) == []
    for entry in bundle["entry"]:
        assert second_opinion(entry["resource"]) == []
    assert "mended" not in annotated(marked, **fields).withheld


def test_a_letter_behind_a_number_is_a_flag_or_a_unit_as_the_test_has_it():
    """ "Hb 8.9 L" is low; a spirometry of 2.1 L is in litres; neither gets what the other means."""
    (low,) = made("<T:Hb> <V:8.9 L>", "Observation")
    assert low["interpretation"][0]["coding"][0]["code"] == "L"
    assert "unit" not in low["valueQuantity"]
    (litres,) = made("<T:FEV1> <V:2.1 L>", "Observation")
    assert "interpretation" not in litres
    assert litres["valueQuantity"]["unit"] == "L"


def test_a_medicine_that_was_stopped_is_not_active_in_the_list_of_medicines():
    """ "Stopped:" with a colon, in a list of what to take home."""
    taken, stopped = made(
        "Medications on Discharge:\n1. <M:Aspirin> <D:100 mg OM>\nStopped: <M:metformin>",
        "MedicationStatement",
    )
    assert (taken["status"], stopped["status"]) == ("active", "unknown")


def test_the_value_that_an_arrow_leads_from_is_of_another_time():
    """ "Cr 180 -> 120 umol/L": only the second was measured when the note was written."""
    before, after = made(
        "<T:Cr> <V:180> -> <V:120 umol/L>", "Observation", written_at="2026-01-05T08:00:00+08:00"
    )
    assert "effectiveDateTime" not in before
    assert after["effectiveDateTime"] == "2026-01-05T08:00:00+08:00"


def test_a_problem_named_twice_is_one_condition():
    """Findings and impression of a report name one mass; denied and present are two statements."""
    found = annotated("Findings: <mass>. No <effusion>.\nImpression: <Mass>, small <effusion>.")
    conditions = [
        e["resource"] for e in found.bundle["entry"] if e["resource"]["resourceType"] == "Condition"
    ]
    assert sorted(c["code"]["text"] for c in conditions) == ["effusion", "effusion", "mass"]
    assert found.withheld == {"repeated": 1}


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("<T:Urea> <V:22> -> <V:9.4 mmol/L>", [("22", "mmol/L"), ("9.4", "mmol/L")]),
        ("<T:Urea> <V:22 → 9.4 mmol/L>", [("22", "mmol/L"), ("9.4", "mmol/L")]),
        ("<T:Ferritin> rose from <V:9> to <V:45 ug/L>", [("9", "ug/L"), ("45", "ug/L")]),
        ("<T:Hb> <V:8.2 g/dL> <- <V:9.9>", [("8.2", "g/dL"), ("9.9", "g/dL")]),
        ("<T:Na> <V:128> on Monday and after fluids <V:135 mmol/L>", [("128", None), ("135", "mmol/L")]),
    ],
)
def test_a_unit_written_once_is_that_of_both_sides_of_an_arrow(marked, expected):
    """In one span or two; nothing is carried over words that may tell of another measurement."""
    found = [o["valueQuantity"] for o in made(marked, "Observation")]
    assert sorted((str(q["value"]), q.get("unit")) for q in found) == sorted(
        expected, key=lambda pair: pair[0]
    )


def test_the_first_value_of_a_span_with_an_arrow_is_of_another_time():
    """A reader may see "22 → 9.4 mmol/L" as one value: it is two, and only the second is of the note's day."""
    found = made("<T:Urea> <V:22 → 9.4 mmol/L>", "Observation", written_at="2026-01-05T08:00:00+08:00")
    assert {str(o["valueQuantity"]["value"]): "effectiveDateTime" in o for o in found} == {
        "22": False,
        "9.4": True,
    }


def test_a_result_that_is_denied_is_not_asserted():
    """ "Lactate not raised": the words stay together and mean no High."""
    (one,) = made("<T:Lactate> not <V:raised>", "Observation")
    assert one["valueCodeableConcept"]["text"] == "not raised"
    assert "interpretation" not in one


def test_a_test_with_a_negative_result_was_done():
    """ "Not detected" denies the virus and not the test."""
    note, spans = note_of("<T:Influenza PCR>: <V:not detected>")
    assert {e.assertion.value for e in read_note(note, spans).entities} == {"present"}


def test_cells_of_urine_get_no_code_of_blood():
    """White cells counted in urine are no blood count; those on the next line are."""
    first, second = made("Urine: <T:WBC> <V:45>\n<T:WBC> <V:9.8>", "Observation")
    assert "coding" not in first["code"]
    assert second["code"]["coding"][0]["code"] == "26464-8"


def test_an_allergy_keeps_all_that_it_did():
    """Manifestations that are listed together belong to the medicine before them, and to it alone."""
    found = made(
        "Allergies: <M:co-trimoxazole> (<rash>, <fever> and <vomiting>), <M:tramadol> <nausea>",
        "AllergyIntolerance",
    )
    effects = {a["code"]["text"]: [m["text"] for m in a["reaction"][0]["manifestation"]] for a in found}
    assert effects == {"co-trimoxazole": ["rash", "fever", "vomiting"], "tramadol": ["nausea"]}


def test_the_name_of_a_section_is_no_finding():
    """A reader may take the heading for a medicine."""
    found = annotated("<M:Medications> on discharge:\n<M:Aspirin> <D:100 mg OM>")
    assert found.withheld == {"heading": 1}


def test_a_dosage_keeps_the_words_between_its_parts():
    """ "3mg 2mg" would lose the days."""
    (one,) = made("<M:Warfarin> <D:4 mg> on odd days, <D:3 mg> on even", "MedicationStatement")
    assert one["dosage"][0]["text"] == "4 mg on odd days, 3 mg"
    (two,) = made("<D:IV> <M:cefazolin> <D:2 g>", "MedicationStatement")
    assert two["dosage"][0]["text"] == "IV 2 g"


def test_doubt_in_a_finding_is_read_and_left_out_of_its_name():
    """A reader may take "TRO" into the span: the problem is coded, and not present."""
    (one,) = made("Referred with <TRO appendicitis>", "Condition")
    assert one["verificationStatus"]["coding"][0]["code"] == "provisional"
    assert one["code"]["text"] == "appendicitis"


@pytest.mark.parametrize("marked", ["Avoid <M:diclofenac>", "Suggest hold <M:diclofenac> tonight"])
def test_a_medicine_to_be_stopped_or_avoided_is_not_intended(marked):
    """The opposite of what is planned must not come out as a plan."""
    (one,) = made(marked, "MedicationStatement")
    assert one["status"] in {"not-taken", "unknown"}


def test_words_that_are_no_findings_give_none():
    """A reader may take "abdomen soft" for a problem."""
    assert annotated("Abdomen <soft>. <T:Examination> normal.").withheld == {"no-finding": 2}


@pytest.mark.parametrize(
    "marked", ["Plan: stop <M:aspirin> today", "<M:Gliclazide> | <D:60 mg> | Stop", "<M:Heparin> held"]
)
def test_a_medicine_that_is_stopped_is_not_intended_nor_active(marked):
    """In a plan, in a table, behind its name."""
    (one,) = made(marked, "MedicationStatement")
    assert one["status"] == "unknown"
