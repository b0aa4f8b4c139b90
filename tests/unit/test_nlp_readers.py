"""Which reader reads which part of a note, and what is told of the parts that nobody reads."""

import orjson
import pytest

from engine.errors import ExtractorError, TooLargeError
from engine.nlp.language import foreign_text, language_of
from engine.nlp.readers import Readers
from engine.nlp.terminology import TableTerminology
from engine.nlp.to_fhir import annotate
from engine.records import Label, ModelInfo, Note, Span
from engine.settings import Nlp

ENGLISH_WORDS = {"fever": Label.PROBLEM, "aspirin": Label.MEDICATION}
CHINESE_WORDS = {"胸痛": Label.PROBLEM, "阿司匹林": Label.MEDICATION}


class WordReader:
    """Finds given words, and keeps what it was given to read."""

    def __init__(self, name, languages, words):
        self.info = ModelInfo(name, "1", "rules")
        self.languages = frozenset(languages)
        self._words = words
        self.texts = []

    async def extract(self, notes):
        self.texts += [note.text for note in notes]
        return [
            [
                Span(at, at + len(word), label, 0.9)
                for word, label in self._words.items()
                if (at := note.text.find(word)) >= 0
            ]
            for note in notes
        ]


def english():
    return WordReader("en-model", {"en"}, ENGLISH_WORDS)


def chinese(languages=("zh",)):
    return WordReader("zh-model", languages, CHINESE_WORDS)


def words_of(reading):
    return [entity.text for entity in reading.entities]


MIXED = "Mdm T, fever since Monday, no fever now, 患者主诉胸痛两天, on aspirin 100 mg"
CHINESE = "患者主诉胸痛两天, 服用阿司匹林, fever denied by the son of the patient"


async def test_without_a_further_reader_the_rest_is_read_and_the_stretch_is_told():
    """The English part is read as ever; where the Mandarin stands is told, so that a person can look."""
    reading = await Readers(english()).read(Note("n", MIXED))
    assert words_of(reading) == ["fever", "aspirin"]
    (stretch,) = reading.foreign
    assert MIXED[stretch.start : stretch.end] == "胸痛两天"
    assert [issue.code for issue in reading.issues] == ["language-not-read"]
    assert reading.language == "en"


async def test_a_stretch_goes_to_the_reader_of_its_language():
    """Offsets index the whole note, and nothing is flagged any more."""
    zh = chinese()
    reading = await Readers(english(), {"zh": zh}).read(Note("n", MIXED))
    assert words_of(reading) == ["fever", "胸痛", "aspirin"]
    assert all(MIXED[e.start : e.end] == e.text for e in reading.entities)
    assert zh.texts == ["患者主诉胸痛两天"]
    assert (reading.foreign, reading.issues) == ((), ())
    assert [model.model_id for model in reading.models] == ["en-model", "zh-model"]


async def test_a_note_mostly_in_a_language_is_read_whole_by_its_reader():
    """A model sees the sentence as it is; the English in it goes to the English reader."""
    zh, en = chinese(), english()
    reading = await Readers(en, {"zh": zh}).read(Note("n", CHINESE * 2))
    assert zh.texts == [CHINESE * 2]
    assert reading.language == "zh"
    assert set(words_of(reading)) == {"胸痛", "阿司匹林", "fever"}
    assert reading.models[0].model_id == "zh-model"


async def test_a_multilingual_reader_reads_everything_itself():
    """Nothing is cut out of a note for a reader that knows both languages."""
    both = WordReader("both", {"en", "zh"}, ENGLISH_WORDS | CHINESE_WORDS)
    zh = chinese()
    reading = await Readers(both, {"zh": zh}).read(Note("n", MIXED))
    assert words_of(reading) == ["fever", "胸痛", "aspirin"]
    assert zh.texts == []


async def test_each_model_is_named_for_what_it_found():
    """Two Devices, two Provenances, and each resource is the target of that of its own model."""
    note = Note(
        "3f8e0b0e-6d5c-5a55-9d53-0f6b7a5f2c11", MIXED, patient="Patient/p1", document="DocumentReference/d1"
    )
    reading = await Readers(english(), {"zh": chinese()}).read(note)
    found = annotate(
        reading,
        reading.models[0],
        TableTerminology(),
        base="urn:wardstream:",
        min_score=0.5,
        recorded="2026-03-04T05:06:07Z",
    )
    entries = [entry["resource"] for entry in found.bundle["entry"]]
    devices = {e["id"]: e["deviceName"][0]["name"] for e in entries if e["resourceType"] == "Device"}
    said = {}
    for provenance in (e for e in entries if e["resourceType"] == "Provenance"):
        name = devices[provenance["agent"][0]["who"]["reference"].removeprefix("Device/")]
        said[name] = {target["reference"] for target in provenance["target"]}
    by_text = {e["code"]["text"]: f"Condition/{e['id']}" for e in entries if e["resourceType"] == "Condition"}
    assert by_text["胸痛"] in said["zh-model"]
    assert by_text["fever"] in said["en-model"]
    assert not said["zh-model"] & said["en-model"]
    assert len({e["id"] for e in entries}) == len(entries)


async def test_a_declared_language_without_a_reader_is_flagged():
    """Nothing in the letters shows German of a few words; its source does."""
    reading = await Readers(english()).read(Note("n", "Befund unauffaellig heute", language="de-DE"))
    assert reading.language == "de"
    assert [issue.code for issue in reading.issues] == ["language-not-read"]


async def test_short_texts_are_read_only_when_asked_for():
    """A feed's "fever" is a value; a caller who sends it means it. Blanks are never given to a reader."""
    en = english()
    readers = Readers(en, settings=Nlp(min_note_chars=12))
    assert words_of(await readers.read(Note("n", "fever"))) == []
    assert words_of(await readers.read(Note("n", "fever"), however_short=True)) == ["fever"]
    assert words_of(await readers.read(Note("n", " \r\n\t"), however_short=True)) == []
    assert en.texts == ["fever"]


async def test_a_note_over_the_limit_is_refused():
    """Before any reader sees it."""
    en = english()
    with pytest.raises(TooLargeError, match=r"nlp\.max_note_chars"):
        await Readers(en, settings=Nlp(max_note_chars=100)).read(Note("n", "fever " * 50))
    assert en.texts == []


async def test_spans_outside_of_the_text_are_the_readers_fault():
    """Told as such, not as a crash."""

    class Broken(WordReader):
        async def extract(self, notes):
            return [[Span(0, 10_000, Label.PROBLEM, 1.0)] for _ in notes]

    with pytest.raises(ExtractorError, match="spans that can't be"):
        await Readers(Broken("b", {"en"}, {})).read(Note("n", "a note that is long enough"))


async def test_the_json_of_a_reading_says_who_read_and_what_was_not_read():
    """One object that a caller can act on."""
    body = orjson.loads(orjson.dumps((await Readers(english()).read(Note("n", MIXED))).as_json()))
    assert body["models"] == [{"id": "en-model", "version": "1", "provider": "rules"}]
    assert [stretch["language"] for stretch in body["languages_not_read"]] == ["zh"]
    assert body["entities"][0] | {"score": 0} == {
        "start": 7, "end": 12, "text": "fever", "label": "PROBLEM", "score": 0, "assertion": "present",
        "section": "", "related": [],
    }  # fmt: skip


LANGUAGES = [
    ("Der Patient klagt seit drei Tagen über Husten und Fieber.", "de"),
    ("El paciente refiere dolor en el pecho desde hace tres días, sin fiebre.", "es"),
    ("La patiente présente une fièvre depuis trois jours avec de la toux.", "fr"),
    ("Ang pasyente ay may lagnat at ubo, hindi siya makahinga.", "tl"),
    ("Bệnh nhân bị sốt và ho từ ba ngày, không đau ngực.", "vi"),
    ("Pasien mengeluh nyeri dada sejak dua hari, tidak ada demam.", "ms"),
    ("PESAKIT MENGADU SAKIT KEPALA SEJAK DUA HARI.", "ms"),
    ("Пациент жалуется на боль в груди", "ru"),
    ("Ο ασθενής αναφέρει πόνο στο στήθος", "el"),
    ("患者主诉胸痛两天", "zh"),
    ("胸の痛みがある", "ja"),
    ("நெஞ்சு வலி உள்ளது", "ta"),
    ("C/o chest pain x 2/7, nil SOB. β-blocker OM, α1 antitrypsin 5 µg", "en"),
    ("LA DILATED, LE OEDEMA, DES TO LAD, PO MEDS, ON INSULIN", "en"),
    ("Dr Dan and Mdm Dia saw him at the Con Apa clinic in Las Palmas", "en"),
]


@pytest.mark.parametrize(("text", "language"), LANGUAGES, ids=[row[1] for row in LANGUAGES])
def test_the_language_of_a_note(text, language):
    """By script and function words; names, abbreviations and units in Greek letters make no other language."""
    assert language_of(Note("n", text)) == language
    assert {span.language for span in foreign_text(text)} == ({language} - {"en"})


def test_what_the_text_shows_wins_over_what_is_declared():
    """Systems declare one language for all they send."""
    assert language_of(Note("n", "患者主诉胸痛两天", language="en-SG")) == "zh"
    assert language_of(Note("n", "Mdm Tan 胸痛, fever and cough since Monday", language="en")) == "en"
    assert language_of(Note("n", "fever", language="ms_MY")) == "ms"


def test_a_script_nobody_listed_is_noticed_all_the_same():
    """Unknown is not English."""
    (stretch,) = foreign_text("fever ᠮᠣᠩᠭᠣᠯ since")
    assert stretch.language == "und"


def test_english_is_foreign_to_a_reader_that_does_not_read_it():
    """Medicines and names in Latin letters are not, in a note of another language."""
    text = "患者服用 metformin 和 amlodipine, 胸痛"
    assert foreign_text(text, frozenset({"zh"})) == ()
    text += " and the wound was dressed by the nurse"
    assert [span.language for span in foreign_text(text, frozenset({"zh"}))] == ["en"]
