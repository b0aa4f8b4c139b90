"""Text to words, and words to a tokenizer's pieces, with offsets into the text as it is.

Words are found here and not by the tokenizer, so that an entity's offsets never pass through a tokenizer's
normaliser: what a tokenizer does with a combining mark, an emoji or a CRLF can't move them. Offsets are code points.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import WordPiece

#: A word of more pieces is a blob (base64, a line of dashes); its first pieces say as much as all of them.
MAX_PIECES_A_WORD = 24

# Scripts written without spaces: each character is a word, as BERT's own tokenizer has it.
_UNSPACED = "\u2e80-\u2fdf\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"


# A line of dashes or dots: one word, or a form of 50,000 of them would be read one by one.
_RUN = rf"([^\w\s]|_)\1{{{MAX_PIECES_A_WORD},}}"

# Half of a surrogate pair is no character; a tokenizer refuses it.
_LONE = re.compile("[\ud800-\udfff]")

# Behind these a line or sentence has ended.
_PAUSE = re.compile(r"[\r\n]+|[.!?;](?=\s+[^\sa-z])|[。！？；]")

#: Pieces of words seen before are remembered, in memory alone, up to so many characters of words: some 20 MB.
KEPT_CHARS = 500_000


@dataclass(frozen=True, slots=True)
class Words:
    """Where the words of a text stand: ``text[starts[i]:ends[i]]``.

    Attributes:
        starts, ends: offsets into the text in code points.
        pauses: whether a line, or a sentence most likely, ends behind the word.
    """

    starts: NDArray[np.int32]
    ends: NDArray[np.int32]
    pauses: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.starts)


@dataclass(frozen=True, slots=True)
class Pieces:
    """A text as a tokenizer's pieces, without special ones.

    Attributes:
        ids: ids of the pieces.
        first: index into ``ids`` of each word's first piece, and one more entry that holds ``len(ids)``.
        pauses: as of :class:`Words`.
    """

    ids: NDArray[np.int32]
    first: NDArray[np.int32]
    pauses: NDArray[np.bool_]


def split_words(text: str) -> Words:
    """Runs of letters, digits and their combining marks; any other visible character alone, but for long runs of one."""
    pattern, special = _patterns()
    plain = text.isascii() or special.search(text) is None
    found = [match.span() for match in (_PLAIN if plain else pattern).finditer(text)]
    spans = np.array(found, np.int32).reshape(-1, 2)
    starts, ends = spans[:, 0].copy(), spans[:, 1].copy()
    return Words(starts, ends, _pauses(text, ends))


def _pauses(text: str, ends: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Behind a line's end, and behind a full stop that white space and no small letter follows ("b.d. with meals")."""
    pauses = np.zeros(len(ends), np.bool_)
    behind = np.searchsorted(ends, [match.end() for match in _PAUSE.finditer(text)], side="right") - 1
    pauses[behind[behind >= 0]] = True
    return pauses


class Pieced:
    """A fast tokenizer fed with words.

    Args:
        tokenizer: its truncation and padding are turned off.

    Raises:
        ValueError: the tokenizer has no unknown piece and can't spell every byte.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._stand_in = _stand_in(tokenizer)
        # Other kinds may spell a text's first word in another way than the same word later on.
        self._known: dict[str, list[int]] | None = {} if isinstance(tokenizer.model, WordPiece) else None
        self._kept_chars = 0

    def many(self, texts: Sequence[str], words: Sequence[Words]) -> list[Pieces]:
        """The pieces of each text. Every word has at least one: words a tokenizer drops become unknown."""
        split = [
            [text[start:end] for start, end in zip(found.starts.tolist(), found.ends.tolist(), strict=True)]
            for text, found in zip(map(_writable, texts), words, strict=True)
        ]
        if self._known is None:
            spelt = self._spelt(split)
        else:
            known = self._known_with(set(chain.from_iterable(split)))
            spelt = [_joined([known[word] for word in found]) for found in split]
        return [
            Pieces(ids, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32), found.pauses)
            for (ids, lengths), found in zip(spelt, words, strict=True)
        ]

    def _known_with(self, words: set[str]) -> dict[str, list[int]]:
        """Ids of each of these words, and of others."""
        known = self._known or {}
        new = [word for word in words if word not in known]
        if not new:
            return known
        self._kept_chars += sum(map(len, new))
        if self._kept_chars > KEPT_CHARS:
            known, new, self._kept_chars = {}, list(words), sum(map(len, words))
        ((ids, lengths),) = self._spelt([new])
        known.update(
            zip(new, (part.tolist() for part in np.split(ids, np.cumsum(lengths)[:-1])), strict=True)
        )
        # What would not fit by itself is not kept beyond this call.
        self._known = known if self._kept_chars <= KEPT_CHARS else {}
        return known

    def _spelt(self, split: list[list[str]]) -> list[tuple[NDArray[np.int32], NDArray[np.int64]]]:
        """Ids of each list of words, and how many each word has."""
        encodings = self._tokenizer.encode_batch(split, is_pretokenized=True, add_special_tokens=False)
        return [
            self._evened(encoding.ids, encoding.word_ids, len(found))
            for encoding, found in zip(encodings, split, strict=True)
        ]

    def _evened(
        self, ids: list[int], word_ids: list[int | None], count: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        piece_ids = np.array(ids, np.int32)
        owners = np.array(word_ids, np.int32) if ids else np.empty(0, np.int32)
        lengths = np.bincount(owners, minlength=count)
        if count and (lengths.min() == 0 or lengths.max() > MAX_PIECES_A_WORD):
            return self._even_out(piece_ids, lengths)
        return piece_ids, lengths

    def _even_out(
        self, ids: NDArray[np.int32], lengths: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        ends = np.cumsum(lengths)
        parts = [
            ids[end - length : end][:MAX_PIECES_A_WORD] if length else [self._stand_in]
            for length, end in zip(lengths, ends, strict=True)
        ]
        return np.concatenate(parts).astype(np.int32), np.array([len(part) for part in parts])


def _writable(text: str) -> str:
    return text if text.isascii() else _LONE.sub("\ufffd", text)


def _joined(words: list[list[int]]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    lengths = np.fromiter(map(len, words), np.int64, len(words))
    return np.fromiter(chain.from_iterable(words), np.int32, int(lengths.sum())), lengths


def _stand_in(tokenizer: Tokenizer) -> int:
    for name in ("[UNK]", "<unk>", "<|endoftext|>"):
        known = tokenizer.token_to_id(name)
        if known is not None:
            return int(known)
    encoded = tokenizer.encode("?", add_special_tokens=False).ids
    if not encoded:
        raise ValueError("the tokenizer has neither an unknown piece nor one for a question mark")
    return int(encoded[0])


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Words, and the characters without which :data:`_PLAIN` finds the same ones sooner."""
    marks = _ranges(
        code for code in range(0x300, 0xE01F0) if unicodedata.category(chr(code)) in {"Mn", "Mc", "Me"}
    )
    joiners = "\u200c\u200d"
    words = rf"{_RUN}|[{_UNSPACED}][{marks}]*|(?:(?![{_UNSPACED}])[^\W_][{marks}{joiners}]*)+|[^\s]"
    return re.compile(words), re.compile(f"[{_UNSPACED}{marks}{joiners}]")


_PLAIN = re.compile(rf"{_RUN}|[^\W_]+|\S")


def _ranges(codes: Iterable[int]) -> str:
    """Code points as the inside of a character class."""
    out: list[list[int]] = []
    for code in codes:
        if out and out[-1][1] == code - 1:
            out[-1][1] = code
        else:
            out.append([code, code])
    return "".join(f"{chr(low)}-{chr(high)}" for low, high in out)
