"""The note reader: text in, spans out, by an ONNX model. Implements :class:`engine.ports.EntityExtractor`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from engine.errors import SettingsError, SlowExtractorError
from engine.records import Label, ModelInfo, Note, Span
from engine.settings import Nlp
from models.artifact import TOKENIZER, Artifact
from models.batcher import Batcher, Limits, Served
from models.decoding import Decoder
from models.session import CUDA, Device, Session
from models.windows import Window, cut, merge
from models.words import Pieced, Words, split_words

#: Read before a model is put to work: the first runs allocate memory and, on a GPU, load kernels.
WARM_UP = ("Chest pain since 2 days, on aspirin 100 mg OM.", "Troponin 0.04 ug/L, ECG normal. " * 30)


class LoadedModel:
    """One artifact ready to read. Immutable: a swap puts another in its place.

    Raises:
        SettingsError: the artifact is broken, or the device can't be used.
    """

    def __init__(self, artifact: Artifact, settings: Nlp) -> None:
        self._session = Session(artifact, Device(settings.device), settings.threads)
        try:
            self._pieced = Pieced(Tokenizer.from_file(str(artifact.path(TOKENIZER))))
        except Exception as error:
            raise SettingsError(
                "tokenizer.json of the model artifact can't be read",
                location="nlp.extractor",
                action="Export the model again; only 'fast' tokenizers work.",
            ) from error
        self._frame = artifact.input.frame
        self._outputs = artifact.outputs
        self._calibration = artifact.calibration
        self._decoder = Decoder(self._outputs.tags, ruled=self._outputs.ruled)
        on_gpu = self._session.provider == CUDA
        limits = Limits(
            settings.batch_pieces_cuda if on_gpu else settings.batch_pieces,
            settings.batch_wait,
            settings.queue_pieces,
            rows=4096 if on_gpu else 1,
            parallel=self._session.parallel,
        )
        # Another thread cuts texts meanwhile.
        self._model_thread = ThreadPoolExecutor(self._session.parallel, "ner-model")
        self._text_thread = ThreadPoolExecutor(1, "ner-text")
        self.batcher = Batcher(self._run, self._model_thread, limits)
        self.info = ModelInfo(artifact.model_id, artifact.version, self._session.provider)
        self.labels = self._outputs.labels
        self.languages = artifact.languages
        self._pending = 0
        self._idle: asyncio.Event | None = None

    def warm_up(self) -> None:
        for text in WARM_UP:
            _, windows = self._prepare([text])
            self._run([window.ids for window in windows[0]])

    async def read(self, texts: Sequence[str]) -> list[list[Span]]:
        """Spans of each text."""
        loop = asyncio.get_running_loop()
        self._pending += 1
        try:
            words, windows = await loop.run_in_executor(self._text_thread, self._prepare, texts)
            rows = [window.ids for note in windows for window in note]
            scores = await self.batcher.submit(rows)
            return await loop.run_in_executor(self._text_thread, self._decode, words, windows, scores)
        finally:
            self._pending -= 1
            if self._idle is not None and not self._pending:
                self._idle.set()

    async def finished(self) -> None:
        """Waits for the reads under way, which all end within ``nlp.timeout``, and ends the threads."""
        self._idle = asyncio.Event()
        if self._pending:
            await self._idle.wait()
        self._model_thread.shutdown(wait=False)
        self._text_thread.shutdown(wait=False)

    def _run(self, rows: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
        return self._outputs.fold(self._session.run(rows))

    def _prepare(self, texts: Sequence[str]) -> tuple[list[Words], list[list[Window]]]:
        words = [split_words(text) for text in texts]
        return words, [cut(pieces, self._frame) for pieces in self._pieced.many(texts, words)]

    def _decode(
        self, words: list[Words], windows: list[list[Window]], scores: list[NDArray[np.float32]]
    ) -> list[list[Span]]:
        rest = iter(scores)
        tables = [
            merge(note, [next(rest)[w.first] for w in note], len(self._outputs.tags)) for note in windows
        ]
        found = self._decoder.decode_many(tables)
        names = [Label(name) for name in self._decoder.labels]
        sure = self._calibration.scores([names[at] for at in found.label], found.score)
        spans: list[list[Span]] = [[] for _ in words]
        columns = (found.text.tolist(), found.begin.tolist(), found.end.tolist(), found.label.tolist(), sure)
        for text, begin, end, label, score in zip(*columns, strict=True):
            place = words[text]
            spans[text].append(
                Span(place.starts[begin].item(), place.ends[end - 1].item(), names[label], score)
            )
        return spans


class OnnxExtractor:
    """Reads notes with an ONNX model. See :class:`engine.ports.EntityExtractor`.

    Args:
        folder: the artifact.
        settings: device, threads, batches, queue and time-out.

    Raises:
        SettingsError: the artifact is broken, or ``nlp.device`` demands what is not there.
    """

    def __init__(self, folder: Path, settings: Nlp | None = None) -> None:
        self._settings = settings or Nlp()
        self._model = self._load(folder)

    def _load(self, folder: Path) -> LoadedModel:
        model = LoadedModel(Artifact(folder), self._settings)
        model.warm_up()
        return model

    @property
    def info(self) -> ModelInfo:
        return self._model.info

    @property
    def languages(self) -> frozenset[str]:
        """BCP 47 primary tags of the languages the model was made for."""
        return frozenset(self._model.languages)

    @property
    def labels(self) -> frozenset[Label]:
        """The labels the model can give."""
        return self._model.labels

    @property
    def served(self) -> Served:
        """What the model did since it was loaded."""
        return self._model.batcher.served

    async def extract(self, notes: Sequence[Note]) -> list[list[Span]]:
        """Spans of each note.

        Raises:
            OverloadedError: the queue is full (retryable).
            SlowExtractorError: ``nlp.timeout`` passed (retryable).
            ExtractorError: a note could not be read; with several notes, give them one by one to learn which.
        """
        if not notes:
            return []
        model = self._model  # a swap meanwhile does not touch this call
        limit = self._settings.timeout
        try:
            async with asyncio.timeout(limit):
                return await model.read([note.text for note in notes])
        except TimeoutError:
            raise SlowExtractorError(
                f"{len(notes)} note(s) were not read within {limit:g} s",
                action="Try again; if it lasts, add workers with the role annotate, or raise nlp.timeout.",
            ) from None

    async def swap(self, folder: Path) -> ModelInfo:
        """Puts another model to work; notes under way are finished by the old one, and none is lost.

        Raises:
            SettingsError: the new artifact can't be used; the old one stays at work.
        """
        loop = asyncio.get_running_loop()
        new = await loop.run_in_executor(None, self._load, folder)
        old, self._model = self._model, new
        await old.finished()
        return new.info
