"""The note readers of this process: loaded once, shared by all who read notes here, and kept at the promoted model."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path

import structlog

from engine.errors import SettingsError
from engine.nlp.readers import Readers
from engine.ports import EntityExtractor
from engine.settings import Settings
from models.artifact import MANIFEST
from models.both import onnx_of
from models.registry import BOTH, DEFAULT, POINTER, folder_of, load_extractor, promoted_in, store_of

log = structlog.get_logger(__name__)


def make_extractor(settings: Settings) -> EntityExtractor:
    """The configured reader of notes.

    Raises:
        SettingsError: there is none of that name, it is broken, or its device can't be used.
    """
    return load_extractor(settings.nlp.extractor, settings.nlp)


def make_readers(settings: Settings) -> Readers:
    """The configured reader, and those of further languages. Raises SettingsError as :func:`make_extractor` does."""
    further = {tag: load_extractor(name, settings.nlp) for tag, name in settings.nlp.by_language.items()}
    return Readers(make_extractor(settings), further, settings.nlp)


class NoteReaders:
    """Loads the readers when somebody first needs them. A service for :class:`adapters.kafka.run.Run`.

    While it runs it looks every ``nlp.models_poll`` seconds whether ``wardstream models promote`` has put another
    model in place, and swaps: notes under way are finished by the old one, and a model that can't be loaded leaves the
    old one at work.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._readers: Readers | None = None
        self._store = store_of(settings.nlp) if settings.nlp.extractor in {DEFAULT, BOTH} else None
        self._folder: Path | None = None
        self._seen = -1
        self._task: asyncio.Task[None] | None = None

    def load(self) -> Readers:
        """The readers; the first call takes a second or two. Raises SettingsError."""
        with self._lock:
            readers = self._readers
            if readers is not None:
                return readers
            self._folder = promoted_in(self._store) if self._store else None
            readers = make_readers(self._settings)
            self._readers = readers
        info = readers.default.info
        log.info("notes are read by", model=info.model_id, version=info.version, provider=info.provider)
        return readers

    async def get(self) -> Readers:
        """:meth:`load` beside the event loop."""
        if self._readers is not None:
            return self._readers
        return await asyncio.to_thread(self.load)

    async def start(self) -> None:
        if self._store is not None:
            self._task = asyncio.create_task(self._follow(self._store))

    async def stop(self, timeout: float | None = None) -> None:  # noqa: ASYNC109, ARG002 - the contract of services
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _follow(self, store: Path) -> None:
        while True:
            await asyncio.sleep(self._settings.nlp.models_poll)
            try:
                await self.look(store)
            except SettingsError as error:
                log.error("the promoted model can't be used; the old one stays", reason=str(error))  # noqa: TRY400
            except Exception as error:  # noqa: BLE001 - the old model still works: say so, and go on looking
                log.error("the promoted model can't be used; the old one stays", reason=type(error).__name__)  # noqa: TRY400

    async def look(self, store: Path) -> None:
        """Swap if another model was promoted since the last look, or the promotion was taken back.

        Raises:
            SettingsError: it can't be used; told once for each promotion.
        """
        reader = onnx_of(self._readers.default) if self._readers else None
        if reader is None:
            return
        pointer = store / POINTER
        # A pointer that is gone means the model that ships, but not where all is gone with it: a share that is not mounted.
        if not pointer.is_file() and (self._folder is None or not (self._folder / MANIFEST).is_file()):
            return
        when = pointer.stat().st_mtime_ns if pointer.is_file() else 0
        if when == self._seen:
            return
        self._seen = when
        folder = await asyncio.to_thread(promoted_in, store)
        if folder == self._folder:
            return
        info = await reader.swap(folder or folder_of(DEFAULT))
        self._folder = folder
        log.info("notes are now read by", model=info.model_id, version=info.version, provider=info.provider)
