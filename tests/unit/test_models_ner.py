"""The model that ships, as the engine uses it: offsets, long notes, time-outs, swaps, pinned files and promotion."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import GateRefusedError, OverloadedError, SettingsError
from engine.ports import EntityExtractor
from engine.records import Label, Note, Span
from engine.settings import Nlp
from models.artifact import INT8, MANIFEST, SHIPPED, Artifact, seal
from models.ner import OnnxExtractor
from models.promote import promote, rollback
from models.registry import POINTER, folder_of, load_extractor, stored
from models.session import Device, choose, why_no_cuda

SENTENCE = "She has hypertension and was started on amlodipine 5 mg once daily."


def note(text: str) -> Note:
    return Note(note_id="n", text=text)


@pytest.fixture(scope="module")
def extractor() -> OnnxExtractor:
    return OnnxExtractor(SHIPPED / "default", Nlp(device="cpu"))


def read(extractor: OnnxExtractor, text: str) -> list[Span]:
    return asyncio.run(extractor.extract([note(text)]))[0]


def found(extractor: OnnxExtractor, text: str) -> list[tuple[str, str]]:
    return [(text[span.start : span.end], span.label.value) for span in read(extractor, text)]


def test_the_shipped_model_reads_a_plain_sentence(extractor: OnnxExtractor) -> None:
    """A problem, a medicine and its dose, whole."""
    entities = dict(found(extractor, SENTENCE))
    assert entities["hypertension"] == "PROBLEM"
    assert entities["amlodipine"] == "MEDICATION"
    assert any(label == "DOSAGE" for label in entities.values())


@pytest.mark.parametrize(
    "before",
    [
        "",
        "Line one.\r\n\r\n",
        "\U0001f637\U0001f637 ",
        "病人主诉头痛。",
        "cafe\u0301 \ufeff",
        "&amp; \\.br\\ ",
        "half \ud800 of a pair ",
        "NUL \x00 ",
        "\u202e\u062d\u0645\u0649\u202c ",
        "\U0001f469\u200d\u2695\ufe0f\U0001f3fd ",
        "." * 3000 + "\n",
        "x" * 3000 + " ",
    ],
)
def test_offsets_index_the_text_as_it_is(extractor: OnnxExtractor, before: str) -> None:
    """Line ends, emoji, Han, marks, entities, escapes, halves of pairs and blobs before an entity move it, and nothing else."""
    assert ("amlodipine", "MEDICATION") in found(extractor, before + SENTENCE)


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=200))
def test_anything_at_all_is_read_without_a_fault(text: str) -> None:
    """Spans lie within the text, are sorted, hold something visible, and none overlaps another of its label."""
    spans = read(_shared(), text)
    assert spans == sorted(spans, key=lambda span: span.start)
    for span in spans:
        assert 0 <= span.start < span.end <= len(text)
        assert text[span.start : span.end].strip()
        assert 0 <= span.score <= 1
    for label in Label:
        own = [span for span in spans if span.label is label]
        assert all(a.end <= b.start for a, b in pairwise(own))


_KEPT: list[OnnxExtractor] = []


def _shared() -> OnnxExtractor:
    if not _KEPT:
        _KEPT.append(OnnxExtractor(SHIPPED / "default", Nlp(device="cpu")))
    return _KEPT[0]


def test_no_entity_is_lost_or_cut_in_a_long_note(extractor: OnnxExtractor) -> None:
    """Two hundred times the same sentence, many windows: each amlodipine is found, once and whole."""
    text = "\n".join([SENTENCE] * 200)
    places = [at for at in range(len(text)) if text.startswith("amlodipine", at)]
    spans = {(span.start, span.end) for span in read(extractor, text)}
    assert [at for at in places if (at, at + len("amlodipine")) in spans] == places


def test_a_note_is_read_alike_alone_and_in_company(extractor: OnnxExtractor) -> None:
    """Neighbours in the queue change nothing, not even a score: a replay gives the same answer."""
    alone = read(extractor, SENTENCE)
    together = asyncio.run(extractor.extract([note("Cough."), note(SENTENCE), note(SENTENCE * 9), note("")]))
    assert together[1] == alone
    assert together[3] == []


def test_it_is_an_extractor_and_names_what_reads(extractor: OnnxExtractor) -> None:
    """The engine's port, with a version that pins the files."""
    assert isinstance(extractor, EntityExtractor)
    assert extractor.info.provider == "CPUExecutionProvider"
    assert extractor.info.version == Artifact(SHIPPED / "default").version
    assert extractor.labels == frozenset(Label)


def test_a_time_out_is_an_overload_and_is_retryable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stuck model holds nobody for longer than nlp.timeout."""
    slow = OnnxExtractor(SHIPPED / "default", Nlp(device="cpu", timeout=0.1))
    run = slow._model._session.run

    def late(rows: Any) -> Any:
        time.sleep(0.5)
        return run(rows)

    monkeypatch.setattr(slow._model._session, "run", late)
    with pytest.raises(OverloadedError) as told:
        read(slow, SENTENCE)
    assert told.value.retryable


async def test_a_swap_loses_no_note(tmp_path: Path) -> None:
    """Notes under way are finished by the old model, later ones read by the new; each gets its answer."""
    shutil.copytree(SHIPPED / "default", tmp_path / "new")
    extractor = OnnxExtractor(SHIPPED / "default", Nlp(device="cpu"))
    under_way = [asyncio.create_task(extractor.extract([note(SENTENCE)])) for _ in range(20)]
    await asyncio.sleep(0)
    before = extractor.info
    assert await extractor.swap(tmp_path / "new") == before
    answers = await asyncio.gather(*under_way)
    assert all(answer[0] for answer in answers)
    assert (await extractor.extract([note(SENTENCE)]))[0]


def another(folder: Path) -> None:
    """The shipped model, with a little added to the tag of "outside": every score differs."""
    shutil.copytree(SHIPPED / "default", folder)
    made_from, old = Artifact(folder).input, Artifact(folder)
    model = onnx.load(folder / INT8)
    (bias,) = (each for each in model.graph.initializer if each.name == "classifier.bias")
    values = onnx.numpy_helper.to_array(bias).copy()
    values[0] += 0.2
    bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
    onnx.save(model, folder / INT8)
    seal(folder, model_id=old.model_id, base_version="other", made_from=made_from, facts={})


@pytest.mark.slow
async def test_swaps_under_load_mix_no_two_models(tmp_path: Path) -> None:
    """Readers go on while the model changes four times: every note is answered, each throughout by one of the two."""
    another(tmp_path / "other")
    folders = [SHIPPED / "default", tmp_path / "other"]
    text = "\n".join(
        f"{SENTENCE} Day {day}: Hb 9.{day % 10} g/dL, CT of the chest normal." for day in range(14)
    )
    settings = Nlp(device="cpu", threads=2, timeout=120)
    alone = [(await OnnxExtractor(folder, settings).extract([note(text)]))[0] for folder in folders]
    assert len({span.score for span in alone[0]} - {span.score for span in alone[1]}) > 25
    extractor = OnnxExtractor(folders[0], settings)
    answers: list[list[Span]] = []
    read_one, stop = asyncio.Semaphore(0), asyncio.Event()

    async def reader() -> None:
        while not stop.is_set():
            answers.extend(await extractor.extract([note(text)]))
            read_one.release()

    async with asyncio.TaskGroup() as readers:
        for _ in range(4):
            readers.create_task(reader())
        for turn in range(1, 5):
            await extractor.swap(folders[turn % 2])
            for _ in range(3):
                await read_one.acquire()
        stop.set()
    assert all(answer in alone for answer in answers)
    assert all(any(answer == one for answer in answers) for one in alone)


async def test_a_bad_swap_leaves_the_old_model_at_work(tmp_path: Path) -> None:
    """A half-copied folder is refused before anything changes."""
    extractor = OnnxExtractor(SHIPPED / "default", Nlp(device="cpu"))
    with pytest.raises(SettingsError):
        await extractor.swap(tmp_path)
    assert (await extractor.extract([note(SENTENCE)]))[0]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(SHIPPED / "default", tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("name", ["calibration.json", "card.md", INT8])
def test_a_changed_file_is_refused(copy: Path, name: str) -> None:
    """One byte is enough, whatever file it is in."""
    content = bytearray((copy / name).read_bytes())
    content[-2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(SettingsError, match=f"another {name}"):
        Artifact(copy)


def test_a_missing_file_and_a_wrong_version_are_refused(copy: Path) -> None:
    """The error says which file; a version is its files' digest and can't be made up."""
    manifest = json.loads((copy / MANIFEST).read_text())
    (copy / MANIFEST).write_text(json.dumps({**manifest, "version": "9.9.9"}))
    with pytest.raises(SettingsError, match="version"):
        Artifact(copy)
    (copy / MANIFEST).write_text(json.dumps(manifest))
    (copy / "tokenizer.json").unlink()
    with pytest.raises(SettingsError, match=r"no tokenizer\.json"):
        Artifact(copy)


def test_no_artifact_says_what_may_be_named(tmp_path: Path) -> None:
    """The commonest mistake is a wrong path."""
    with pytest.raises(SettingsError, match="no model artifact") as told:
        load_extractor(str(tmp_path / "nothing"))
    assert "default" in told.value.action


@pytest.mark.skipif(not why_no_cuda(), reason="CUDA works here")
def test_cuda_that_is_demanded_and_absent_fails_at_start(capfd: pytest.CaptureFixture[str]) -> None:
    """No silent fall-back, and onnxruntime prints none of its alarming lines."""
    with pytest.raises(SettingsError, match="CUDA is demanded"):
        load_extractor("default", Nlp(device="cuda"))
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(not why_no_cuda(), reason="CUDA works here")
def test_auto_takes_the_int8_model_on_the_cpu() -> None:
    """Without CUDA, auto is the CPU; it is asked for nothing else."""
    assert choose(Device.AUTO, Artifact(SHIPPED / "default")) == ("CPUExecutionProvider", INT8)


def test_reading_and_judging_need_no_training_packages() -> None:
    """A worker has neither torch nor transformers: nothing it imports may ask for them."""
    modules = "models.ner models.registry models.evaluate models.error_page models.agreement models.promote"
    script = (
        f"import sys, importlib; [importlib.import_module(m) for m in {modules.split()!r}]; "
        "sys.exit(', '.join(sorted({'torch', 'transformers', 'optimum', 'matplotlib'} & sys.modules.keys())) or None)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def report(artifact: Artifact, f1: float, baseline: float) -> dict[str, Any]:
    return {
        "model": {"id": artifact.model_id, "version": artifact.version},
        "documents": 3,
        "ece": 0.01,
        "strict": {"micro": {"f1": f1}},
        "baseline": {"strict": {"micro": {"f1": baseline}}},
    }


def test_a_promoted_model_is_the_default(copy: Path, tmp_path: Path) -> None:
    """Copied, verified, pointed at; the list shows both and the registry takes the promoted one."""
    store = tmp_path / "store"
    artifact = Artifact(copy)
    where = promote(artifact, store, report(artifact, 0.8, 0.5), Nlp())
    assert folder_of("default", store) == where
    assert folder_of("default") == SHIPPED / "default"
    assert where in stored(store)
    assert load_extractor("default", Nlp(models=str(store), device="cpu")).info.version == artifact.version


def test_promotions_are_taken_back_one_by_one(copy: Path, tmp_path: Path) -> None:
    """To what was the default before; the first one to the model that ships. Promoted twice is one promotion."""
    store = tmp_path / "store"
    first = Artifact(copy)
    one = promote(first, store, report(first, 0.8, 0.5), Nlp())
    shutil.copytree(copy, tmp_path / "b")
    (tmp_path / "b" / "card.md").write_text("another")
    second = seal(tmp_path / "b", model_id=first.model_id, base_version="9", made_from=first.input, facts={})
    two = promote(second, store, report(second, 0.8, 0.5), Nlp())
    promote(second, store, report(second, 0.8, 0.5), Nlp())
    assert folder_of("default", store) == two
    assert rollback(store) == one == folder_of("default", store)
    assert rollback(store) is None
    assert folder_of("default", store) == SHIPPED / "default"
    with pytest.raises(SettingsError, match="Nothing is promoted"):
        rollback(store)


def test_what_the_gate_refuses_is_not_promoted(copy: Path, tmp_path: Path) -> None:
    """And nothing is left behind."""
    artifact = Artifact(copy)
    with pytest.raises(GateRefusedError, match="gate refuses"):
        promote(artifact, tmp_path / "store", report(artifact, 0.55, 0.5), Nlp())
    assert not (tmp_path / "store").exists()


def test_an_evaluation_of_another_version_promotes_nothing(copy: Path, tmp_path: Path) -> None:
    """A good report of last month's model says nothing of this one."""
    other = report(Artifact(copy), 0.8, 0.5)
    other["model"] = {"id": "other", "version": "1"}
    with pytest.raises(SettingsError, match="very artifact"):
        promote(Artifact(copy), tmp_path / "store", other, Nlp())


def test_a_pointer_to_nothing_is_an_error(tmp_path: Path) -> None:
    """Falling back to the shipped model would change answers in silence."""
    (tmp_path / POINTER).write_text('{"artifact": "gone"}')
    with pytest.raises(SettingsError, match="points to no artifact"):
        folder_of("default", tmp_path)
