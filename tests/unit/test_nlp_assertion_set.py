"""Assertion on several hundred findings that were written before the rules were looked at: a floor for each class.

The first set of 265 scored 0.92 when it was written, the second of 108 (after the first was mended) 0.82, the third of 62 (after the
second) 0.94: that last figure is the honest one for unseen text. What they showed was mended; the floors keep it so.
"""

import re
from collections import Counter
from pathlib import Path

import pytest

from engine.nlp.assertion import contexts_of
from engine.nlp.sections import find_sections
from engine.records import Label, Span

FILE = Path(__file__).with_name("assertion_set.txt")
MARK = re.compile(r"\[(?P<words>[^\[\]]+)\]\{(?:(?P<label>[A-Z_]+) )?(?P<meant>[a-z/]+)\}")
FLOORS = {
    "present": 0.95,
    "negated": 0.97,
    "possible": 0.97,
    "hypothetical": 0.97,
    "historical": 0.97,
    "family": 0.93,
}


def read(line):
    """The text of a line, its spans, and what each may be."""
    text, spans, meant, at = "", [], [], 0
    for mark in MARK.finditer(line):
        text += line[at : mark.start()]
        label = Label(mark["label"] or "PROBLEM")
        spans.append(Span(len(text), len(text) + len(mark["words"]), label, 1.0))
        meant.append(mark["meant"].split("/"))
        text += mark["words"]
        at = mark.end()
    return text + line[at:], spans, meant


@pytest.fixture(scope="module")
def counted():
    """Findings and right ones by class, and the wrong ones in words."""
    right, every, wrong = Counter(), Counter(), []
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        text, spans, meant = read(line.replace("\\n", "\n"))
        found = contexts_of(text, spans, find_sections(text))
        for span, allowed, context in zip(spans, meant, found, strict=True):
            told = {context.assertion.value, *(["allergy"] if context.allergy else [])}
            every[allowed[0]] += 1
            right[allowed[0]] += bool(told & {*allowed})
            if not told & {*allowed}:
                wrong.append(f"{text[span.start : span.end]}: {told} in {text!r}")
    return right, every, wrong


def test_the_set_is_as_large_as_it_says(counted):
    """A slip in the marks would drop findings without a word."""
    _, every, _ = counted
    assert every.total() >= 430
    assert all(every[name] >= 15 for name in FLOORS)


@pytest.mark.parametrize("name", FLOORS)
def test_each_class_is_told_as_a_clinician_tells_it(counted, name):
    """Accuracy of the findings of a class; those that are wrong are named."""
    right, every, wrong = counted
    assert right[name] / every[name] >= FLOORS[name], "\n".join(wrong)
