"""Scores, calibration, the gate, agreement and the report: checked by hand on texts small enough to count."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from engine.errors import SettingsError
from engine.records import Label, ModelInfo, Note, Span
from engine.settings import Nlp
from models import calibration, gate
from models.agreement import agreement
from models.bootstrap import f1_interval
from models.corpora.document import Document, Gold
from models.error_page import errors, page
from models.evaluate import evaluate
from models.judging import correctness
from models.outputs import Scheme, outputs_of, own_outputs
from models.scoring import Counts, partial_counts, prf, strict_counts

P, M, D = Label.PROBLEM, Label.MEDICATION, Label.DOSAGE


def span(start: int, end: int, label: Label, score: float = 0.9) -> Span:
    return Span(start, end, label, score)


def test_strict_wants_the_very_span_and_label() -> None:
    """One right, one of another label, one of another border."""
    gold = [Gold(0, 5, P), Gold(10, 15, M), Gold(20, 25, M)]
    counts = strict_counts(gold, [span(0, 5, P), span(10, 15, P), span(20, 24, M)])
    assert counts.micro() == {"precision": 1 / 3, "recall": 1 / 3, "f1": 1 / 3, "support": 3}


def test_partial_matches_overlap_once() -> None:
    """Two answers on one entity are one hit: precision pays for the second."""
    counts = partial_counts([Gold(0, 10, P)], [span(0, 4, P), span(5, 10, P)])
    assert counts.per_label()["PROBLEM"] == {"precision": 0.5, "recall": 1.0, "f1": 2 / 3, "support": 1}


def test_nothing_found_is_zero_and_not_an_error() -> None:
    """A label nobody annotated and nobody found has no F1 to speak of."""
    assert prf(0, 0, 0)["f1"] == 0.0


class Fixed:
    """A reader with prepared answers."""

    def __init__(self, answers: dict[str, list[Span]]) -> None:
        self._answers = answers

    @property
    def info(self) -> ModelInfo:
        return ModelInfo("fixed", "1", "none")

    async def extract(self, notes: Sequence[Note]) -> list[list[Span]]:
        return [self._answers.get(note.note_id, []) for note in notes]


DOCUMENTS = [
    Document(
        "a", "fever and aspirin", (Gold(0, 5, P), Gold(10, 17, M)), frozenset({P, M}), "a", {"sex": "F"}
    ),
    Document("b", "cough", (Gold(0, 5, P),), frozenset({P}), "b", {"sex": "M"}),
]
RIGHT = {"a": [span(0, 5, P), span(10, 17, M)], "b": [span(0, 5, P), span(0, 5, D)]}


async def test_the_report_has_what_others_read_from_it() -> None:
    """The keys promised to callers; a label that a text was not annotated for costs nothing."""
    report = (await evaluate(Fixed(RIGHT), DOCUMENTS, Nlp(), baseline=Fixed({}))).report
    assert report["strict"]["micro"]["f1"] == 1.0
    assert set(report["strict"]["per_label"]) == {"PROBLEM", "MEDICATION"}
    assert report["partial"]["micro"]["recall"] == 1.0
    assert report["baseline"]["strict"]["micro"]["f1"] == 0.0
    assert report["documents"] == 2
    assert report["notes_per_second"] > 0
    assert report["ece"] == pytest.approx(0.1)
    assert report["strata"]["sex"]["F"]["documents"] == 1
    assert report["gate"] == {"passed": True, "reasons": []}


async def test_a_reader_no_better_than_the_baseline_is_refused() -> None:
    """The gate compares with the baseline on the same texts."""
    report = (await evaluate(Fixed(RIGHT), DOCUMENTS, Nlp(), baseline=Fixed(RIGHT))).report
    assert not report["gate"]["passed"]
    assert "0.0 points above" in report["gate"]["reasons"][0]


async def test_a_weak_stratum_is_refused_when_it_is_large_enough() -> None:
    """Good on average is not enough; a stratum of one entity proves nothing."""
    answers = {"a": RIGHT["a"]}
    settings = Nlp(gate_stratum_entities=1)
    report = (await evaluate(Fixed(answers), DOCUMENTS, settings, baseline=Fixed({}))).report
    assert [reason.split(" ")[0] for reason in report["gate"]["reasons"]] == ["sex=M"]
    assert gate.judge(report, Nlp()).passed


async def test_the_page_of_errors_tells_kinds_apart_and_escapes_text() -> None:
    """Missed, invented, boundary and label errors; markup in a note stays text."""
    doc = Document("x<1>", "a <b> fever and gout here", (Gold(6, 11, P), Gold(16, 20, P)), frozenset({P, M}))
    answers = [[span(6, 11, M), span(2, 5, M)]]
    assert sorted(error.kind for error in errors([doc], answers)) == ["invented", "label", "missed"]
    assert next(iter(errors([doc], [[span(6, 15, P)]]))).kind == "boundary"
    report = (await evaluate(Fixed({}), [doc], Nlp())).report
    shown = page(report, [doc], answers)
    assert "<b>" not in shown
    assert "x&lt;1&gt;" in shown


def test_no_error_hides_behind_another() -> None:
    """One span over two entities, and one of another label and length: each of the entities is told."""
    text = "Chest pain and fever, liver disease."
    gold = (Gold(0, 10, Label.PROBLEM), Gold(15, 20, Label.PROBLEM), Gold(22, 35, Label.PROBLEM))
    doc = Document("d", text, gold, frozenset(Label))
    spans = [
        Span(0, 20, Label.PROBLEM, 0.9),
        Span(22, 27, Label.ANATOMY, 0.9),
        Span(28, 35, Label.PROBLEM, 0.9),
    ]
    found = [(error.kind, error.wanted) for error in errors([doc], [spans])]
    assert found == [
        ("boundary", "PROBLEM: Chest pain"),
        ("both", "PROBLEM: liver disease"),
        ("boundary", "PROBLEM: liver disease"),
        ("missed", "PROBLEM"),
    ]


def test_calibration_finds_how_often_scores_are_right() -> None:
    """Scores that boast are brought down until they say what is true."""
    chance = random.Random(1)
    raw = [chance.uniform(0.5, 0.999) for _ in range(4000)]
    right = [chance.random() < 0.4 + 0.4 * score for score in raw]
    found = calibration.fit([P] * 4000, raw, right)
    scores = [found.score(P, score) for score in raw]
    assert calibration.expected_error(raw, right) > 0.05
    assert calibration.expected_error(scores, right) < 0.03
    assert calibration.Calibration.from_json(found.as_json()) == found


def test_calibration_finds_its_way_where_scores_crowd_at_the_top() -> None:
    """An over-confident model says 0.99 of everything; half of it is wrong."""
    raw = [0.985 + 0.014 * (index % 10) / 9 for index in range(400)]
    right = [index // 10 % 2 == 0 for index in range(400)]
    found = calibration.fit([P] * 400, raw, right)
    scores = [found.score(P, score) for score in raw]
    assert calibration.expected_error(scores, right) < 0.05


def test_labels_nobody_looked_for_say_nothing_of_calibration() -> None:
    """A corpus of diseases does not prove a dosage wrong."""
    doc = Document("1", "fever 5 mg", (Gold(0, 5, P),), frozenset({P}))
    found, right = correctness([doc], [[span(0, 5, P), span(6, 10, D)]])
    assert [each.label for each in found] == [P]
    assert right == [True]


def test_few_entities_hardly_move_the_calibration() -> None:
    """Three lucky guesses must not make a label certain."""
    found = calibration.fit([P] * 3, [0.5] * 3, [True] * 3)
    assert 0.5 < found.score(P, 0.5) < 0.7
    assert not found.by_label


def test_expected_error_by_hand() -> None:
    """Two bins of two: off by 0.1 and by 0.4."""
    assert calibration.expected_error([0.9, 0.9, 0.1, 0.1], [True, True, True, False]) == pytest.approx(0.25)


def test_the_interval_holds_the_figure_and_is_the_same_each_time() -> None:
    """Drawn with a fixed seed: two evaluations print the same report."""
    some = [strict_counts([Gold(0, 5, P)], [span(0, 5, P)] if n % 3 else []) for n in range(60)]
    total = Counts()
    for counts in some:
        total.add(counts)
    low, high = f1_interval(some)
    assert low < total.f1 < high
    assert (low, high) == f1_interval(some)


def test_agreement_of_two_annotators() -> None:
    """Kappa by hand: four words, agreed on three, 0.5 by chance."""
    one = [Document("a", "w x y z", (Gold(0, 1, P), Gold(2, 3, P)), frozenset({P}))]
    two = [Document("a", "w x y z", (Gold(0, 1, P),), frozenset({P}))]
    result = agreement(one, two)
    assert result["kappa"] == pytest.approx(0.5)
    assert result["f1"] == pytest.approx(2 / 3)
    assert not result["enough"]
    assert agreement(one, one)["enough"]


def test_annotations_of_other_texts_can_not_be_compared() -> None:
    """Same ids, other texts: a figure would mean nothing."""
    one = [Document("a", "w", (), frozenset({P}))]
    with pytest.raises(SettingsError, match="another text"):
        agreement(one, [Document("a", "v", (), frozenset({P}))])
    with pytest.raises(SettingsError, match="no document"):
        agreement(one, [Document("b", "w", (), frozenset({P}))])


@pytest.mark.parametrize(
    ("names", "scheme", "tags"),
    [
        (["O", "B-Disease", "I-Disease", "B-Gene"], Scheme.BIO, ["O", "B-PROBLEM", "I-PROBLEM", "O"]),
        (
            ["U-Drug", "L-Drug", "O", "I-Drug"],
            Scheme.BILOU,
            ["B-MEDICATION", "I-MEDICATION", "O", "I-MEDICATION"],
        ),
        (["Disease", "O"], Scheme.IO, ["I-PROBLEM", "O"]),
    ],
)
def test_other_schemes_fold_into_ours(names: list[str], scheme: Scheme, tags: list[str]) -> None:
    """The scheme is told from the marks, and each output counts towards one of our tags."""
    outputs = outputs_of(names, {"disease": P, "drug": M})
    assert outputs.scheme is scheme
    assert [outputs.tags[index] for index in outputs.target] == tags


def test_outputs_of_one_tag_are_summed_in_probability() -> None:
    """Two outputs of 0.3 for one tag outweigh one of 0.4 for another."""
    import numpy as np

    outputs = outputs_of(["B-Drug", "U-Drug", "O"], {"drug": M})
    folded = outputs.fold(np.log(np.array([[0.3, 0.3, 0.4]], np.float32)))
    assert np.exp(folded[0, outputs.tags.index("B-MEDICATION")]) == pytest.approx(0.6)
    assert np.exp(folded[0, 0]) == pytest.approx(0.4)
    assert own_outputs().from_json(own_outputs().as_json()) == own_outputs()


def test_a_model_of_which_no_label_is_known_is_refused() -> None:
    """It would read every note as empty."""
    with pytest.raises(SettingsError, match="None of the model's labels"):
        outputs_of(["O", "B-Gadget"], {})
