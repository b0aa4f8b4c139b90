"""Free text in FHIR resources becomes notes."""

import base64

import pytest

from engine.fhir.notes import find_notes, notes_of
from engine.settings import Nlp, Settings

TEXT = "Patient reports chest pain since Monday."
SETTINGS = Settings()


def attachment(text=TEXT, kind="text/plain", encoding="utf-8"):
    return {"contentType": kind, "data": base64.b64encode(text.encode(encoding)).decode()}


def bundle(*resources):
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": {"id": "r", **r}} for r in resources],
    }


def document(content, **elements):
    return {
        "resourceType": "DocumentReference",
        "status": "current",
        "content": [{"attachment": content}],
        **elements,
    }


def texts(*resources, settings=SETTINGS):
    return [(note.element, note.text) for note in notes_of(bundle(*resources), settings)]


@pytest.mark.parametrize(
    ("resource", "element"),
    [
        (document(attachment()), "DocumentReference.content[0].attachment"),
        (
            {"resourceType": "DiagnosticReport", "presentedForm": [attachment()]},
            "DiagnosticReport.presentedForm[0]",
        ),
        ({"resourceType": "DiagnosticReport", "conclusion": TEXT}, "DiagnosticReport.conclusion"),
        ({"resourceType": "Observation", "valueString": TEXT}, "Observation.valueString"),
        (
            {"resourceType": "Observation", "note": [{"text": "short"}, {"text": TEXT}]},
            "Observation.note[1].text",
        ),
        (
            {"resourceType": "AllergyIntolerance", "reaction": [{"note": [{"text": TEXT}]}]},
            "AllergyIntolerance.reaction[0].note[0].text",
        ),
        (
            {"resourceType": "Communication", "payload": [{"contentString": TEXT}]},
            "Communication.payload[0].contentString",
        ),
        ({"resourceType": "ClinicalImpression", "summary": TEXT}, "ClinicalImpression.summary"),
    ],
)
def test_every_place_of_free_text_is_read(resource, element):
    """A text that is not read is a finding that nobody gets."""
    assert texts(resource) == [(element, TEXT)]


def test_sections_of_a_composition_are_read_to_any_depth():
    """Discharge summaries nest sections; each is a note of its own kind."""
    div = '<div xmlns="http://www.w3.org/1999/xhtml"><p>{}</p></div>'
    inner = {
        "title": "Plan",
        "text": {"status": "generated", "div": div.format("Stop aspirin &amp; review.")},
    }
    outer = {
        "code": {"coding": [{"system": "http://loinc.org", "code": "8648-8"}]},
        "section": [inner],
        "text": {"status": "generated", "div": div.format(TEXT)},
    }
    first, second = notes_of(bundle({"resourceType": "Composition", "section": [outer]}), SETTINGS)
    assert (first.element, first.text, first.kind) == ("Composition.section[0].text.div", TEXT, "8648-8")
    assert (second.element, second.text, second.title) == (
        "Composition.section[0].section[0].text.div",
        "Stop aspirin & review.",
        "Plan",
    )


@pytest.mark.parametrize(
    ("kind", "encoding"),
    [
        ("text/plain", "utf-8"),
        ("text/plain; charset=UTF-8", "utf-8"),
        ('text/plain;charset="iso-8859-1"', "latin-1"),
        ("text/plain; charset=utf-16", "utf-16"),
        ("text/plain", "utf-8-sig"),
        ("TEXT/PLAIN", "utf-8"),
        ("text/markdown", "utf-8"),
    ],
)
def test_attachments_are_decoded_by_their_character_set(kind, encoding):
    """Accents and Chinese characters of a note arrive as they were typed."""
    text = "Señora Müller hat Fieber" if "8859" in kind else "Señora Müller: 发烧三天了，有点咳嗽"
    assert texts(document(attachment(text, kind, encoding)))[0][1] == text


def test_html_attachments_are_read_as_text():
    """Markup is not prose; line breaks are."""
    html = "<html><head><title>t</title></head><body><p>Chest pain</p><p>since Monday</p></body></html>"
    assert texts(document(attachment(html, "text/html")))[0][1] == "Chest pain\n\nsince Monday"


@pytest.mark.parametrize("kind", ["application/pdf", "image/png", "text/rtf", "", "application/json"])
def test_what_is_no_prose_is_left_alone(kind):
    """A scanned page goes on in its resource; it is no text."""
    assert texts(document(attachment(kind=kind))) == []


@pytest.mark.parametrize(
    "content",
    [
        {"contentType": "text/plain; charset=utf-8", "data": base64.b64encode(b"Jos\xe9 has fever").decode()},
        {"contentType": "text/plain; charset=klingon", "data": "SGVsbG8gd29ybGQgaGVsbG8="},
        {"contentType": "text/plain", "data": "no base64!"},
    ],
)
def test_an_unreadable_attachment_is_reported_and_not_guessed(content):
    """A garbled note would give garbled findings; the issue says what to do."""
    notes, issues = find_notes(
        bundle(document(content)), SETTINGS, {"DocumentReference/r": "Bundle.entry[0].resource"}
    )
    assert notes == []
    assert [(i.code, i.location) for i in issues] == [
        ("note-unreadable", "Bundle.entry[0].resource.content[0].attachment")
    ]


def test_a_note_knows_its_patient_encounter_kind_and_author():
    """Findings are filed under the right patient and visit, and read in the light of who wrote them."""
    role = {"resourceType": "PractitionerRole", "id": "role", "code": [{"text": "Ward nurse"}]}
    resource = document(
        {**attachment(), "language": "en-SG"},
        type={
            "coding": [
                {"system": "urn:local", "code": "DS"},
                {"system": "http://loinc.org", "code": "18842-5", "display": "Discharge summary"},
            ]
        },
        subject={"reference": "Patient/p"},
        context={"encounter": [{"reference": "Encounter/e"}]},
        author=[{"reference": "PractitionerRole/role"}],
        date="2026-01-02T03:04:05Z",
    )
    (note,) = notes_of(bundle(resource, role), SETTINGS)
    assert (note.kind, note.title) == ("18842-5", "Discharge summary")
    assert (note.patient, note.encounter, note.document) == (
        "Patient/p",
        "Encounter/e",
        "DocumentReference/r",
    )
    assert (note.language, note.author_role, note.written_at) == (
        "en-SG",
        "Ward nurse",
        "2026-01-02T03:04:05Z",
    )


def test_ids_are_the_same_each_time_and_differ_by_place():
    """A replay gives the same notes; the same words in two places are two."""
    resource = {"resourceType": "Observation", "valueString": TEXT, "note": [{"text": TEXT}]}
    first, second = notes_of(bundle(resource), SETTINGS)
    assert [note.note_id for note in notes_of(bundle(resource), SETTINGS)] == [first.note_id, second.note_id]
    assert first.note_id != second.note_id


def test_a_very_long_text_is_read_in_parts_and_none_of_it_is_lost():
    """No limit drops words in silence."""
    settings = Settings(nlp=Nlp(max_note_chars=100))
    long = "".join(f"Line {n} of a very long letter.\n" for n in range(20)).strip()
    resource = {"resourceType": "Observation", "valueString": long}
    notes, issues = find_notes(bundle(resource), settings)
    assert "".join(note.text for note in notes) == long
    assert all(len(note.text) <= 100 for note in notes)
    assert [issue.code for issue in issues] == ["note-in-parts"]
