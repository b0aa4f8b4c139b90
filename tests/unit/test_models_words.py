"""Words, windows and decoding: offsets index the text as it is, and no entity is cut or doubled."""

from __future__ import annotations

import unicodedata
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from models.artifact import SHIPPED, TOKENIZER
from models.decoding import Decoder, log_softmax
from models.tags import TAGS, bio_tags, may_follow
from models.windows import Frame, cut, merge
from models.words import MAX_PIECES_A_WORD, Pieced, Pieces, split_words

TEXTS = st.text(alphabet=st.characters(codec="utf-8"), max_size=80)


def words_of(text: str) -> list[str]:
    found = split_words(text)
    return [text[start:end] for start, end in zip(found.starts, found.ends, strict=True)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Aspirin 100mg\r\nOM.", ["Aspirin", "100mg", "OM", "."]),
        ("BP 120/80, SpO2 98%", ["BP", "120", "/", "80", ",", "SpO2", "98", "%"]),
        ("患者有发烧 fever", ["患", "者", "有", "发", "烧", "fever"]),
        ("cafe\u0301 au lait spots", ["cafe\u0301", "au", "lait", "spots"]),
        ("காய்ச்சல் 3/7", ["காய்ச்சல்", "3", "/", "7"]),
        ("ok \U0001f637 cough", ["ok", "\U0001f637", "cough"]),
        ("-" * 24 + " a", ["-"] * 24 + ["a"]),
        ("Name:" + "_" * 30 + "\n" + "=-" * 2, ["Name", ":", "_" * 30, "=", "-", "=", "-"]),
        ("", []),
        (" \t\r\n", []),
    ],
)
def test_words_of_every_script_are_found_whole(text: str, expected: list[str]) -> None:
    """Digits with units, Han, combining marks, Tamil and emoji come out as a reader would cut them."""
    assert words_of(text) == expected


@given(TEXTS)
def test_words_cover_all_that_is_visible(text: str) -> None:
    """Between words stands white space alone, so no character can be lost to an entity's border."""
    found = split_words(text)
    at = 0
    for start, end in zip(found.starts, found.ends, strict=True):
        assert start < end
        assert not text[at:start].strip()
        at = int(end)
    assert not text[at:].strip()


@given(TEXTS)
def test_a_word_never_begins_with_a_combining_mark_of_the_one_before(text: str) -> None:
    """A letter and its marks stay together: an entity's text can't end in half a character."""
    found = split_words(text)
    for start in found.starts:
        if start and unicodedata.category(text[start]) in {"Mn", "Mc", "Me"}:
            assert not text[start - 1].isalnum()


@st.composite
def pieces(draw: st.DrawFn) -> Pieces:
    lengths = draw(st.lists(st.integers(1, 6), min_size=0, max_size=120))
    first = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    pauses = draw(st.lists(st.booleans(), min_size=len(lengths), max_size=len(lengths)))
    return Pieces(np.arange(1000, 1000 + first[-1], dtype=np.int32), first, np.array(pauses, np.bool_))


@given(TEXTS.filter(lambda text: text.strip()), st.sampled_from(["", "\u0301", "病", "\u200d", "ு"]))
def test_the_quick_search_for_words_finds_what_the_full_one_does(text: str, special: str) -> None:
    """Text without marks or unspaced scripts has a pattern of its own; a note with one of them next to it has the same words."""
    alone = words_of(text)
    both = words_of(f"{text}\n{special}" if special else text)
    assert both[: len(alone)] == alone


WORDPIECE = Tokenizer.from_file(str(SHIPPED / "default" / TOKENIZER))
PIECED = Pieced(Tokenizer.from_file(str(SHIPPED / "default" / TOKENIZER)))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(TEXTS, st.sampled_from(["Aspirin 100 mg", "hydroxychloroquine", "-" * 300])), max_size=6
    )
)
def test_remembered_words_have_the_pieces_the_tokenizer_gives_in_place(texts: list[str]) -> None:
    """A word's pieces are remembered between notes; they are those of the whole text given to the tokenizer."""
    words = [split_words(text) for text in texts]
    for text, found, pieces in zip(texts, words, PIECED.many(texts, words), strict=True):
        split = [text[start:end] for start, end in zip(found.starts, found.ends, strict=True)]
        encoding = WORDPIECE.encode(split, is_pretokenized=True, add_special_tokens=False)
        for at in range(len(split)):
            own = [ident for ident, word in zip(encoding.ids, encoding.word_ids, strict=True) if word == at]
            kept = pieces.ids[pieces.first[at] : pieces.first[at + 1]].tolist()
            assert kept == (own[:MAX_PIECES_A_WORD] or [WORDPIECE.token_to_id("[UNK]")])


def test_what_is_remembered_of_words_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notes without end do not fill the memory, and forgetting changes no answer."""
    monkeypatch.setattr("models.words.KEPT_CHARS", 200)
    pieced = Pieced(Tokenizer.from_file(str(SHIPPED / "default" / TOKENIZER)))
    for number in range(50):
        text = f"amlodipine{number} creatinine hydroxychloroquine " + "x" * (300 if number == 20 else number)
        words = [split_words(text)]
        assert pieced.many([text], words)[0].ids.tolist() == PIECED.many([text], words)[0].ids.tolist()
        assert sum(map(len, pieced._known or {})) <= 200


@given(pieces(), st.integers(10, 40), st.integers(0, 7))
def test_windows_keep_every_word_once_and_in_order(found: Pieces, longest: int, overlap: int) -> None:
    """Put together again, the windows' kept words are the text's words, each with its own first piece."""
    frame = Frame((1,), (2,), longest, overlap)
    windows = cut(found, frame)
    assert all(len(window.ids) <= longest for window in windows)
    kept = [window.ids[at] for window in windows for at in window.first]
    assert kept == list(found.ids[found.first[:-1]])
    scores = [np.full((len(window.first), 3), number, np.float32) for number, window in enumerate(windows)]
    assert len(merge(windows, scores, 3)) == len(found.first) - 1


def test_a_word_is_read_where_it_has_context_on_both_sides() -> None:
    """Within a long text no kept word stands at a window's edge: half of the overlap lies beyond it."""
    first = np.arange(301, dtype=np.int32)
    windows = cut(Pieces(first[:-1], first, np.zeros(300, np.bool_)), Frame((1,), (2,), 102, 40))
    assert len(windows) > 2
    for before, after in pairwise(windows):
        assert before.end - before.keep_end >= 19
        assert after.keep_begin - after.begin >= 19


def test_windows_end_where_sentences_do() -> None:
    """With a pause in its later half a window ends there and the next begins there: nothing is read twice."""
    first = np.arange(301, dtype=np.int32)
    pauses = np.zeros(300, np.bool_)
    pauses[24::25] = True
    windows = cut(Pieces(first[:-1], first, pauses), Frame((1,), (2,), 102, 40))
    assert [(window.begin, window.end) for window in windows] == [(0, 100), (100, 200), (200, 300)]


def test_pauses_stand_behind_lines_and_sentences() -> None:
    """Not behind the points of "b.d." or "0.5", nor before a small letter."""
    text = "Aspirin 0.5 g b.d. with food. Review\r\nin 2/52.\n\nDr. tan 好。好"
    found = split_words(text)
    behind = [text[: found.ends[at]][-4:] for at in np.flatnonzero(found.pauses)]
    assert behind == ["ood.", "view", "/52.", "n 好。"]


def test_a_frame_without_room_is_refused() -> None:
    """An overlap as long as the window would never get on."""
    with pytest.raises(ValueError, match="no room"):
        Frame((1,), (2,), 20, 18)


SMALL = ("O", "B-A", "I-A", "B-B", "I-B")


@settings(max_examples=60)
@given(st.lists(st.lists(st.floats(-4, 4, width=32), min_size=5, max_size=5), min_size=1, max_size=4))
def test_decoding_finds_the_best_path_there_is(rows: list[list[float]]) -> None:
    """Against all paths tried one by one: none that keeps BIO's rules is more probable."""
    log_p = log_softmax(np.array(rows, np.float32))
    best = max(
        sum(float(log_p[at, tag]) for at, tag in enumerate(path))
        for path in product(range(len(SMALL)), repeat=len(rows))
        if may_follow("O", SMALL[path[0]]) and all(may_follow(SMALL[a], SMALL[b]) for a, b in pairwise(path))
    )
    path = Decoder(SMALL).path(log_p, np.arange(len(log_p)) == 0)
    assert sum(float(log_p[at, tag]) for at, tag in enumerate(path)) == pytest.approx(best, abs=1e-4)


def test_neighbouring_entities_of_one_label_stay_two() -> None:
    """A second B begins a second entity, and the score is that of the least sure word."""
    logits = np.full((4, len(TAGS)), -5, np.float32)
    begin, inside = TAGS.index("B-PROBLEM"), TAGS.index("I-PROBLEM")
    for at, tag in enumerate([begin, inside, begin, 0]):
        logits[at, tag] = 5
    logits[1, inside] = 0
    found = Decoder(TAGS).decode(logits)
    assert [(f.begin, f.end, f.label) for f in found] == [(0, 2, "PROBLEM"), (2, 3, "PROBLEM")]
    assert found[0].score < found[1].score


def test_without_rules_an_inside_may_begin_an_entity() -> None:
    """IO and IOB1 models write I where BIO writes B."""
    tags = bio_tags([])
    assert tags == ("O",)
    logits = np.full((2, len(TAGS)), -5, np.float32)
    logits[:, TAGS.index("I-TEST")] = 5
    assert [(f.begin, f.end) for f in Decoder(TAGS, ruled=False).decode(logits)] == [(0, 2)]
