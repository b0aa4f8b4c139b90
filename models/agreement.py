"""How far two annotators agree on the same texts: Cohen's kappa on words, and F1 of one against the other.

Kappa (Cohen 1960) counts words outside of all entities too, so it is high where entities are rare; pairwise F1 does
not (Hripcsak and Rothschild 2005). Both are given, and either under :data:`ENOUGH` is a warning.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from engine.errors import SettingsError
from models.corpora.document import Document
from models.scoring import Counts
from models.words import split_words

#: Below it, annotations are commonly held too unlike to train on.
ENOUGH = 0.7


def agreement(first: Sequence[Document], second: Sequence[Document]) -> dict[str, Any]:
    """Compares the documents both have; labels only one of the two looked for are left out.

    Raises:
        SettingsError: they share no document, or a shared one has another text.
    """
    others = {doc.document_id: doc for doc in second}
    pairs = [(doc, others[doc.document_id]) for doc in first if doc.document_id in others]
    if not pairs:
        raise SettingsError(
            "The two share no document",
            location="A B",
            action="Give annotations of the same texts under the same file names or ids.",
        )
    for one, other in pairs:
        if one.text != other.text:
            raise SettingsError(
                "The two have another text under one id",
                location=one.document_id,
                action="Annotate the same version of the text.",
            )
    counts, words = Counts(), Counter[tuple[str, str]]()
    for one, other in pairs:
        _compare(one, other, counts, words)
    kappa, f1 = _kappa(words), counts.f1
    return {
        "documents": len(pairs),
        "kappa": kappa,
        "f1": f1,
        "per_label": {name: row["f1"] for name, row in counts.per_label().items()},
        "enough": min(kappa, f1) >= ENOUGH,
    }


def _compare(one: Document, other: Document, counts: Counts, words: Counter[tuple[str, str]]) -> None:
    shared = one.annotated & other.annotated
    gold = [item for item in one.gold if item.label in shared]
    answer = [item for item in other.gold if item.label in shared]
    wanted = {(g.start, g.end, g.label) for g in gold}
    given = {(a.start, a.end, a.label) for a in answer}
    counts.add(
        Counts(
            Counter(label for _, _, label in wanted & given),
            Counter(label for _, _, label in given),
            Counter(label for _, _, label in wanted),
        )
    )
    found = split_words(one.text)
    for start, end in zip(found.starts, found.ends, strict=True):
        here = [
            next((g.label.value for g in each if g.start < end and g.end > start), "")
            for each in (gold, answer)
        ]
        words[here[0], here[1]] += 1


def _kappa(words: Counter[tuple[str, str]]) -> float:
    total = words.total()
    agreed = sum(count for (one, other), count in words.items() if one == other) / total
    rows, columns = Counter[str](), Counter[str]()
    for (one, other), count in words.items():
        rows[one] += count
        columns[other] += count
    chance = sum(rows[name] * columns[name] for name in rows) / total**2
    return 1.0 if chance == 1 else (agreed - chance) / (1 - chance)
