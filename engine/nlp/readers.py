"""Who reads which part of a note: one reader for most, further ones by language.

The reader of the language most of a note is in reads the whole of it. Stretches in a language that reader does not
read go to the reader of theirs, if a site has configured one; else they are told as not read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from engine.errors import ExtractorError, TooLargeError
from engine.nlp.aside import Aside
from engine.nlp.language import ForeignText, foreign_text, language_of, stretches_of
from engine.nlp.reading import Reading, read_note
from engine.nlp.understood import unread
from engine.ports import EntityExtractor
from engine.records import ModelInfo, Note, Span
from engine.settings import Nlp


class Readers:
    """The note readers of a process.

    Args:
        default: reads what no other reader is for.
        by_language: further readers by BCP 47 primary tag (``nlp.by_language``).
        settings: limits on notes.

    Attributes:
        aside: where long notes are worked on, for those who go on with what was read.
    """

    def __init__(
        self,
        default: EntityExtractor,
        by_language: Mapping[str, EntityExtractor] | None = None,
        settings: Nlp | None = None,
    ) -> None:
        self.default = default
        self._by_language = dict(by_language or {})
        self._settings = settings or Nlp()
        self.aside = Aside()

    async def read(self, note: Note, *, however_short: bool = False) -> Reading:
        """One note, read by whom its languages ask for.

        ``however_short`` is for callers who ask for this very text: feeds' short texts are values and are not read.

        Raises:
            TooLargeError: it is over ``nlp.max_note_chars``.
            OverloadedError: a reader's queue is full, or it took too long (retryable).
            ExtractorError: a reader failed on it.
        """
        self._check_size(note)
        stretches, language = await self.aside.run(len(note.text), lambda: _languages(note))
        main = self._reader_of(language)
        covered = main.languages | self._by_language.keys() | self.default.languages
        foreign = foreign_text(note.text, covered, stretches)
        if not note.text.strip() or (self.is_short(note) and not however_short):
            return await self.aside.run(
                len(note.text),
                lambda: read_note(note, (), covered, models=(main.info,), language=language, foreign=foreign),
            )
        found, models = await _extract(main, note)
        for stretch in foreign_text(note.text, main.languages, stretches):
            reader = self._by_language.get(stretch.language)
            if reader is None and stretch.language in self.default.languages:
                reader = self.default
            if reader is None or reader is main:
                continue
            part = dataclasses.replace(note, text=note.text[stretch.start : stretch.end])
            own, who = await _extract(reader, part)
            found = [pair for pair in found if not _touches(pair[0], stretch)]
            found += [(_moved(span, stretch.start), info) for span, info in own]
            models = (*models, *who)
        spans, by = [span for span, _ in found], [info for _, info in found]
        foreign = await self.aside.run(len(note.text), lambda: unread(note.text, foreign, spans))
        models = tuple(dict.fromkeys(models))
        try:
            return await self.aside.run(
                len(note.text),
                lambda: read_note(
                    note, spans, covered, models=models, by=by, language=language, foreign=foreign
                ),
            )
        except ValueError as error:
            raise ExtractorError(
                f"The note reader gave spans that can't be: {error}",
                location=note.element,
                action="Report the model and its version; 'wardstream models evaluate' checks an artifact.",
            ) from error

    def is_short(self, note: Note) -> bool:
        """Whether a text is a value rather than a note (``nlp.min_note_chars``); it is not given to a reader."""
        return len(note.text.strip()) < self._settings.min_note_chars

    def _check_size(self, note: Note) -> None:
        limit = self._settings.max_note_chars
        if len(note.text) > limit:
            raise TooLargeError(
                f"A note of {len(note.text)} characters is over the limit of {limit}",
                location=note.source_location or note.element,
                action="Raise nlp.max_note_chars and replay the dead letter, or have the sender split the text.",
            )

    def _reader_of(self, language: str) -> EntityExtractor:
        if language in self.default.languages:
            return self.default
        return self._by_language.get(language, self.default)


async def _extract(
    reader: EntityExtractor, note: Note
) -> tuple[list[tuple[Span, ModelInfo]], tuple[ModelInfo, ...]]:
    # A swap can't come between: extract() takes its model before it first awaits.
    info = reader.info
    spans = (await reader.extract([note]))[0]
    found = [(span, span.by or info) for span in spans]
    return found, tuple(dict.fromkeys((info, *(by for _, by in found))))


def _languages(note: Note) -> tuple[list[ForeignText], str]:
    found = stretches_of(note.text)
    return found, language_of(note, found)


def _touches(span: Span, stretch: ForeignText) -> bool:
    return span.start < stretch.end and stretch.start < span.end


def _moved(span: Span, by: int) -> Span:
    return dataclasses.replace(span, start=span.start + by, end=span.end + by)
