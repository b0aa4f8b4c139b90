"""Relations: whose dosage, whose value."""

import re

import pytest

from engine.nlp.reading import read_spans
from engine.nlp.relations import relations_of
from engine.records import Assertion, Label, Note, Span

LABELS = {
    "M": Label.MEDICATION,
    "D": Label.DOSAGE,
    "T": Label.TEST,
    "V": Label.TEST_VALUE,
    "P": Label.PROBLEM,
}
MARK = re.compile(r"<([MDTVP]):([^<>]+)>")


def read(marked):
    text, spans, at = "", [], 0
    for mark in MARK.finditer(marked):
        text += marked[at : mark.start()]
        spans.append(Span(len(text), len(text) + len(mark[2]), LABELS[mark[1]], 0.9))
        text += mark[2]
        at = mark.end()
    return text + marked[at:], spans


ROWS = [
    ("<M:metformin> <D:500 mg BD>, <M:aspirin> <D:100 mg OM>", "metformin=500 mg BD; aspirin=100 mg OM"),
    ("<D:500 mg> of <M:paracetamol> given", "paracetamol=500 mg"),
    ("<D:IV> <M:ceftriaxone> <D:2 g daily> and <D:oral> <M:clarithromycin> <D:500 mg BD>",
     "ceftriaxone=IV,2 g daily; clarithromycin=oral,500 mg BD"),
    ("<D:500 mg> <M:metformin> <D:BD> and <D:100 mg> <M:aspirin> <D:OM>", "metformin=500 mg,BD; aspirin=100 mg,OM"),
    ("<M:lisinopril> from <D:10 mg> to <D:20 mg a day>", "lisinopril=10 mg,20 mg a day"),
    ("<M:Aspirin>. <D:100 mg> of something", ""),
    ("<D:100 mg>", ""),
    ("<T:Na> <V:135> <T:K> <V:4.0> <T:Cr> <V:145>", "Na=135; K=4.0; Cr=145"),
    ("<T:Hb> and <T:WBC> were <V:10.2> and <V:8.9> respectively", "Hb=10.2; WBC=8.9"),
    ("<T:Hb> <V:10.2> -> <V:8.9> -> <V:9.1>", "Hb=10.2,8.9,9.1"),
    ("<V:elevated> <T:CRP>", "CRP=elevated"),
    ("<T:creatinine> <V:raised> at <V:145 umol/L>", "creatinine=raised,145 umol/L"),
    ("<T:CXR>: <V:normal>; <V:elevated> <T:CRP>", "CXR=normal; CRP=elevated"),
    ("<T:Hb> was checked.\n<V:10.2>", ""),
    ("<T:TW> <V:14.2>, Neu <V:88%>, <T:Hb> <V:9.1>", "TW=14.2; Hb=9.1"),
    ("<T:Ferritin> <V:9> in May, now <V:40>", "Ferritin=9,40"),
    ("Has gained <V:3 kg> in <T:weight>", ""),
    ("<V:3 kg> of <T:weight>", "weight=3 kg"),
    ("<T:CT> <V:8 mm> <P:nodule>", ""),
    ("<T:Spleen> <V:14 cm>, <P:cyst>", "Spleen=14 cm"),
    ("Temp <V:38.4> <T:RR> <V:22>", "RR=22"),
    ("Thiamine <D:100mg IV>, <D:PO> <M:lorazepam> <D:1mg>", "lorazepam=PO,1mg"),
]  # fmt: skip


@pytest.mark.parametrize(("marked", "expected"), ROWS, ids=[row[0][:50] for row in ROWS])
def test_parts_find_the_name_they_belong_to(marked, expected):
    """A dose on the wrong medicine is worse than none."""
    text, spans = read(marked)
    related = relations_of(text, spans)
    said = "; ".join(
        f"{text[spans[whole].start : spans[whole].end]}="
        + ",".join(text[spans[part].start : spans[part].end] for part in parts)
        for whole, parts in sorted(related.items())
    )
    assert said == expected


def test_a_part_shares_the_assertion_of_its_whole():
    """The dose of a medicine that was not given is not given either."""
    text, spans = read("Denies taking <M:aspirin> <D:100 mg>")
    entities = read_spans(Note("n", text), spans)
    assert [entity.assertion for entity in entities] == [Assertion.NEGATED, Assertion.NEGATED]
    assert entities[0].related == (1,)


def test_an_earlier_value_is_history():
    """ "prev 8.1%" is not today's result."""
    text, spans = read("<T:HbA1c> <V:7.4%> (prev <V:8.1%>)")
    entities = read_spans(Note("n", text), spans)
    assert [entity.assertion for entity in entities][1:] == [Assertion.PRESENT, Assertion.HISTORICAL]


@pytest.mark.parametrize(
    ("marked", "past"),
    [
        ("<T:CRP> fell from <V:210> to <V:35 mg/L>", [True, False]),
        ("<T:Hb> <V:8.2> <- <V:9.9>", [False, True]),
        ("<T:LVEF> <V:30%> in 2019, <T:LVEF> <V:45%>", [True, False]),
        ("<T:Temperature> from <V:38.2>", [False]),
    ],
)
def test_a_value_of_another_time_is_history(marked, past):
    """Arrows either way, "from .. to", a year: what is not of today must not get today's date."""
    text, spans = read(marked)
    values = [e for e in read_spans(Note("n", text), spans) if e.label is Label.TEST_VALUE]
    assert [value.assertion is Assertion.HISTORICAL for value in values] == past


def test_spans_come_in_any_order_and_leave_sorted():
    """An extractor's order does not matter to what is read."""
    text, spans = read("<M:metformin> <D:500 mg>")
    note = Note("n", text)
    assert read_spans(note, spans[::-1]) == read_spans(note, spans)


def test_a_span_outside_of_the_text_is_refused():
    """An extractor that breaks its contract is found out here."""
    with pytest.raises(ValueError, match="outside"):
        read_spans(Note("n", "abc"), [Span(1, 9, Label.PROBLEM, 1.0)])
