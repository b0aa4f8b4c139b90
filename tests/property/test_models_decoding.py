"""The quick search of the best path against its definition: a Viterbi search over the whole of one text."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.decoding import Decoder, log_softmax
from models.tags import OUTSIDE, TAGS, beginnings, split_tag, transitions

Floats = NDArray[np.float64]
Spans = list[tuple[int, int, str, float]]

_BETWEEN, _BEGIN = transitions(TAGS).astype(float), beginnings(TAGS).astype(float)


def by_definition(logits: Floats, *, ruled: bool = True) -> tuple[list[int], Spans]:
    """Path and entities of one text, word by word."""
    log_p = log_softmax(logits.astype(np.float32)).astype(float)
    path = viterbi(log_p) if ruled else [int(tag) for tag in log_p.argmax(axis=1)]
    spans: Spans = []
    for at, tag in enumerate(path):
        mark, name = split_tag(TAGS[tag])
        sure = float(np.exp(log_p[at, tag]))
        if mark == OUTSIDE:
            continue
        last = spans[-1] if spans else (0, -1, "", 0.0)
        if mark == "I" and last[1:3] == (at, name):
            spans[-1] = (last[0], at + 1, name, min(last[3], sure))
        else:
            spans.append((at, at + 1, name, sure))
    return path, spans


def viterbi(log_p: Floats) -> list[int]:
    best, back = _BEGIN + log_p[0], []
    for row in log_p[1:]:
        ways = best[:, None] + _BETWEEN
        back.append(ways.argmax(axis=0))
        best = ways.max(axis=0) + row
    path = [int(best.argmax())]
    for step in reversed(back):
        path.append(int(step[path[-1]]))
    return path[::-1]


def made(seed: int, words: int, *, outside: float, spread: float) -> Floats:
    """Scores of one text: ``outside`` is the lead of O, ``spread`` how far the tags run apart."""
    chance = np.random.default_rng(seed)
    logits = chance.normal(0, spread, (words, len(TAGS)))
    logits[:, 0] += outside
    return logits.astype(np.float32)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 60)), min_size=1, max_size=8),
    st.floats(-2, 8),
    st.floats(0.1, 6),
    st.booleans(),
)
def test_many_texts_at_a_time_decode_as_each_by_definition(
    texts: list[tuple[int, int]], outside: float, spread: float, ruled: bool
) -> None:
    """Whether nearly all is outside or nearly all breaks a rule: the same entities, and no text touches its neighbour."""
    tables = [made(seed, words, outside=outside, spread=spread) for seed, words in texts]
    decoder = Decoder(TAGS, ruled=ruled)
    found = decoder.decode_many(tables)
    for at, table in enumerate(tables):
        mine = found.text == at
        got = [
            (int(begin), int(end), decoder.labels[label])
            for begin, end, label in zip(found.begin[mine], found.end[mine], found.label[mine], strict=True)
        ]
        wanted = by_definition(table, ruled=ruled)[1] if len(table) else []
        assert got == [span[:3] for span in wanted]
        np.testing.assert_allclose(found.score[mine], [span[3] for span in wanted], rtol=1e-5)
        assert [(f.begin, f.end, f.label) for f in decoder.decode(table)] == got


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 120), st.floats(0.1, 6))
def test_a_path_breaks_no_rule_and_none_is_likelier(seed: int, words: int, spread: float) -> None:
    """Stretches of an ``I`` without a beginning, one after another, are the hard case."""
    logits = made(seed, words, outside=0, spread=spread)
    logits[:, 2::2] += 2 * spread  # every word would rather be inside of something
    log_p = log_softmax(logits)
    opens = np.arange(words) == 0
    path = Decoder(TAGS).path(log_p, opens)
    assert np.isfinite(_BEGIN[path[0]])
    assert np.isfinite(_BETWEEN[path[:-1], path[1:]]).all()
    rows = np.arange(words)
    assert np.isclose(
        log_p[rows, path].astype(float).sum(), log_p[rows, viterbi(log_p.astype(float))].astype(float).sum()
    )
