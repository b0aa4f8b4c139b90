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

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

#: A word of more pieces is a blob (base64, a line of dashes); its first pieces say as much as all of them.
MAX_PIECES_A_WORD = 24

# Scripts written without spaces: each character is a word, as BERT's own tokenizer has it.
_UNSPACED = "\u2e80-\u2fdf\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"


# The place behind which a line or sentence has ended.
_PAUSE = re.compile(r"(?<=\S)(?=[^\S\n]*[\r\n])|(?<=[.!?;])(?=\s+[^\sa-z])|(?<=[。！？；])")


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
    """Runs of letters, digits and their combining marks; any other visible character alone."""
    found = [match.span() for match in _pattern().finditer(text)]
    spans = np.array(found, np.int32).reshape(-1, 2)
    starts, ends = spans[:, 0].copy(), spans[:, 1].copy()
    return Words(starts, ends, _pauses(text, starts, ends))


def _pauses(text: str, starts: NDArray[np.int32], ends: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Behind a line's end, and behind a full stop that white space and no small letter follows ("b.d. with meals")."""
    pauses = np.zeros(len(starts), np.bool_)
    for match in _PAUSE.finditer(text):
        pauses[np.searchsorted(ends, match.start(), side="right") - 1] = True
    return pauses[: len(starts)]


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

    def many(self, texts: Sequence[str], words: Sequence[Words]) -> list[Pieces]:
        """The pieces of each text. Every word has at least one: words a tokenizer drops become unknown."""
        split = [
            [text[start:end] for start, end in zip(found.starts, found.ends, strict=True)]
            for text, found in zip(texts, words, strict=True)
        ]
        encodings = self._tokenizer.encode_batch(split, is_pretokenized=True, add_special_tokens=False)
        return [
            self._pieces(encoding.ids, encoding.word_ids, found.pauses)
            for encoding, found in zip(encodings, words, strict=True)
        ]

    def _pieces(self, ids: list[int], word_ids: list[int | None], pauses: NDArray[np.bool_]) -> Pieces:
        count = len(pauses)
        piece_ids = np.array(ids, np.int32)
        owners = np.array(word_ids, np.int32) if ids else np.empty(0, np.int32)
        lengths = np.bincount(owners, minlength=count)
        if count and (lengths.min() == 0 or lengths.max() > MAX_PIECES_A_WORD):
            piece_ids, lengths = self._even_out(piece_ids, lengths)
        first = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        return Pieces(piece_ids, first, pauses)

    def _even_out(
        self, ids: NDArray[np.int32], lengths: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        ends = np.cumsum(lengths)
        parts = [
            ids[end - length : end][:MAX_PIECES_A_WORD] if length else [self._stand_in]
            for length, end in zip(lengths, ends, strict=True)
        ]
        return np.concatenate(parts).astype(np.int32), np.array([len(part) for part in parts])


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
def _pattern() -> re.Pattern[str]:
    marks = _ranges(
        code for code in range(0x300, 0x1E8D7) if unicodedata.category(chr(code)) in {"Mn", "Mc", "Me"}
    )
    joiners = "\u200c\u200d"
    return re.compile(rf"[{_UNSPACED}][{marks}]*|(?:(?![{_UNSPACED}])[^\W_][{marks}{joiners}]*)+|[^\s]")


def _ranges(codes: Iterable[int]) -> str:
    """Code points as the inside of a character class."""
    out: list[list[int]] = []
    for code in codes:
        if out and out[-1][1] == code - 1:
            out[-1][1] = code
        else:
            out.append([code, code])
    return "".join(f"{chr(low)}-{chr(high)}" for low, high in out)
