"""A process's note readers: loaded once, by language, and kept at the promoted model without losing a note."""

import asyncio
import json
import shutil
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.note_readers import NoteReaders, make_readers
from adapters.worker import Role, make_stages
from engine.errors import ExtractorError, SettingsError
from engine.nlp.codec import note_to_json
from engine.records import Note, Record
from engine.settings import Nlp, Settings
from models.artifact import CARD, MANIFEST, SHIPPED, Artifact, Input, seal
from models.registry import POINTER
from models.session import why_no_cuda

SENTENCE = "She has hypertension and was started on amlodipine 5 mg once daily."


def note(text=SENTENCE):
    return Note(note_id="n", text=text)


def another(folder: Path, **facts) -> Artifact:
    """The shipped model as somebody else's: another card, hence another version."""
    shutil.copytree(SHIPPED / "default", folder)
    (folder / MANIFEST).unlink()
    (folder / CARD).write_text(f"# {folder.name}\n")
    made: Input = Artifact(SHIPPED / "default").input
    return seal(folder, model_id="site-model", base_version="2.0.0", made_from=made, facts=facts)


def point_to(store: Path, name: str) -> None:
    store.mkdir(exist_ok=True)
    (store / f"{POINTER}.new").write_text(json.dumps({"artifact": name}))
    (store / f"{POINTER}.new").replace(store / POINTER)


def test_without_a_model_the_rules_read_other_languages_parts_are_flagged():
    """The plainest configuration works, and a reader that does not exist is a settings error."""
    reading = asyncio.run(make_readers(Settings(nlp=Nlp(extractor="rules"))).read(note()))
    assert [model.model_id for model in reading.models] == ["wardstream-rules"]
    with pytest.raises(SettingsError, match="no model artifact"):
        make_readers(Settings(nlp=Nlp(extractor="rules", by_language={"ms": "/nowhere"})))


def test_the_missing_model_that_ships_is_told_as_such(monkeypatch, tmp_path):
    """nlp.extractor=default in an installation without it: what is missing, and what to set instead."""
    monkeypatch.setattr("models.artifact.SHIPPED", tmp_path)
    monkeypatch.setattr("models.registry.SHIPPED", tmp_path)
    with pytest.raises(SettingsError, match="model that ships is missing") as told:
        make_readers(Settings(nlp=Nlp(extractor="default")))
    assert "WARDSTREAM_NLP__EXTRACTOR" in told.value.action


def test_a_worker_does_not_start_without_its_reader():
    """The stage annotate loads its reader when it is made, not when the first note comes."""
    with pytest.raises(SettingsError):
        make_stages([Role.ANNOTATE], Settings(nlp=Nlp(extractor="/nowhere")))


@pytest.mark.skipif(not why_no_cuda(), reason="CUDA works here")
def test_a_worker_does_not_start_on_the_cpu_when_cuda_is_demanded():
    """No silent fall-back."""
    with pytest.raises(SettingsError, match="CUDA is demanded"):
        make_stages([Role.ANNOTATE], Settings(nlp=Nlp(extractor="default", device="cuda")))


def test_a_wrong_language_tag_is_refused():
    """A region or a name would never match."""
    with pytest.raises(ValueError, match="primary tags"):
        Nlp(by_language={"zh-Hans": "x"})


async def test_a_promotion_is_taken_up_and_no_note_is_lost(tmp_path):
    """Notes under way are answered by the model that had them; those after the swap by the new one."""
    store = tmp_path / "store"
    first, second = another(store / "one"), another(store / "two")
    point_to(store, "one")
    settings = Settings(nlp=Nlp(extractor="default", device="cpu", models=str(store), models_poll=0.05))
    owner = NoteReaders(settings)
    readers = await owner.get()
    await owner.start()
    try:
        under_way = [asyncio.create_task(readers.read(note(f"{SENTENCE} {at}"))) for at in range(40)]
        await asyncio.sleep(0)
        point_to(store, "two")
        async with asyncio.timeout(30):
            while readers.default.info.version != second.version:  # noqa: ASYNC110 - it tells only its log
                await asyncio.sleep(0.02)
        answers = await asyncio.gather(*under_way)
        assert all(answer.entities for answer in answers)
        assert {answer.models[0].version for answer in answers} <= {first.version, second.version}
        assert (await readers.read(note())).models[0].version == second.version
    finally:
        await owner.stop()


async def test_a_promotion_that_is_taken_back_leaves_the_model_that_ships(tmp_path):
    """Without a restart; but a models folder that is not there at the moment changes nothing."""
    store = tmp_path / "store"
    first = another(store / "one")
    point_to(store, "one")
    owner = NoteReaders(Settings(nlp=Nlp(extractor="default", device="cpu", models=str(store))))
    readers = await owner.get()
    await owner.look(store)
    store.rename(tmp_path / "away")
    await owner.look(store)
    assert readers.default.info.version == first.version
    (tmp_path / "away").rename(store)
    (store / "promoted.json").unlink()
    await owner.look(store)
    assert (await readers.read(note())).models[0].version == Artifact(SHIPPED / "default").version


async def test_a_promoted_model_that_is_broken_leaves_the_old_one_at_work(tmp_path):
    """Told once a promotion; a later good one is taken up."""
    store = tmp_path / "store"
    first, second = another(store / "one"), another(store / "two")
    point_to(store, "one")
    owner = NoteReaders(Settings(nlp=Nlp(extractor="default", device="cpu", models=str(store))))
    readers = await owner.get()
    await owner.look(store)
    (store / "two" / CARD).write_text("changed")
    point_to(store, "two")
    with pytest.raises(SettingsError, match="another card"):
        await owner.look(store)
    await owner.look(store)
    assert (await readers.read(note())).models[0].version == first.version
    shutil.rmtree(store / "two")
    again = another(store / "two")
    assert again.version == second.version
    point_to(store, "two")
    await owner.look(store)
    assert (await readers.read(note())).models[0].version == second.version


async def test_the_readers_are_loaded_once_however_many_ask():
    """Two models in memory would be two where the machine was sized for one."""
    owner = NoteReaders(Settings(nlp=Nlp(extractor="default", device="cpu")))
    got = await asyncio.gather(*(owner.get() for _ in range(5)))
    assert len({id(readers) for readers in got}) == 1


def record(number, text):
    return Record(
        "notes.clinical", number % 4, number, b"Patient/1", note_to_json(Note(f"n{number}", text)), {"feed": "w"},
        datetime(2026, 1, 5, tzinfo=UTC),
    )  # fmt: skip


async def test_notes_of_many_messages_share_the_model_and_a_bad_one_fails_alone(monkeypatch):
    """The stage is asked for 24 records at once, one of which the model can't read: 23 are answered, one is told.

    On the CPU windows run one by one; here batches are forced, as on a GPU, and the bad window is in one of them.
    """
    owner = NoteReaders(Settings(nlp=Nlp(extractor="default", device="cpu", batch_wait=0.2)))
    reader = owner.load().default
    reader._model.batcher._limits = type(reader._model.batcher._limits)(100_000, 0.2, 10**6)
    run = reader._model.batcher._run
    poison = "Patient is well. \u00a4\u00a4\u00a4 zebra"
    (known,), (pieces,) = (reader._model._prepare([text])[1][0] for text in (SENTENCE, poison))
    odd = next(piece for piece in pieces.ids if piece not in known.ids)
    sizes = []

    def fussy(rows):
        sizes.append(len(rows))
        if any(odd in row for row in rows):
            raise ExtractorError("The model failed", action="-")
        return run(rows)

    monkeypatch.setattr(reader._model.batcher, "_run", fussy)
    (stage,) = make_stages([Role.ANNOTATE], Settings(), owner, b"key")
    texts = [SENTENCE] * 23
    texts.insert(7, poison)
    answers = await asyncio.gather(
        *(stage.handle(record(at, text)) for at, text in enumerate(texts)), return_exceptions=True
    )
    assert isinstance(answers[7], ExtractorError)
    assert all(not isinstance(answer, BaseException) for at, answer in enumerate(answers) if at != 7)
    assert max(sizes) == 24


def test_loading_from_several_threads_gives_one():
    """POST /annotate and a start race in different threads."""
    owner = NoteReaders(Settings(nlp=Nlp(extractor="rules")))
    got = []
    threads = [threading.Thread(target=lambda: got.append(owner.load())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(readers) for readers in got}) == 1
