"""A page of every error, with its neighbourhood, and the reliability plot. It holds text of the notes: keep it as such."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from engine.records import Span
from models.corpora.document import Document, Gold

#: Characters shown on each side of an error.
AROUND = 60
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1b2430}
table{border-collapse:collapse;margin:1rem 0}td,th{border-bottom:1px solid #d5dbe3;padding:.3rem .7rem;text-align:left}
td.n{text-align:right;font-variant-numeric:tabular-nums}mark{background:#ffe08a}.missed mark{background:#ffc9c9}
.warn{background:#fff4d6;border:1px solid #e0b84a;padding:.6rem 1rem}"""


@dataclass(frozen=True, slots=True)
class Error:
    """One error: ``kind`` is missed, invented, boundary (right label, overlapping), label (right span) or both (neither)."""

    kind: str
    document: str
    label: str
    wanted: str
    text: str
    start: int
    end: int
    score: float | None


def errors(documents: Sequence[Document], answers: Sequence[Sequence[Span]]) -> Iterator[Error]:
    """All errors, by document and place."""
    for doc, spans in zip(documents, answers, strict=True):
        gold = {(g.start, g.end, g.label) for g in doc.gold}
        given = {(s.start, s.end, s.label) for s in spans}
        told: set[Gold] = set()
        for span in spans:
            if (span.start, span.end, span.label) not in gold:
                meant = _meant(doc, span)
                told |= {meant} if meant else set()
                yield _wrong(doc, span, meant)
        for item in doc.gold:
            if (item.start, item.end, item.label) not in given and item not in told:
                yield Error(
                    "missed", doc.document_id, "", item.label.value, doc.text, item.start, item.end, None
                )


def _meant(doc: Document, span: Span) -> Gold | None:
    """What should stand in the place of a wrong span: of those that it touches the one of its place, of its label, or any."""
    near = [item for item in doc.gold if item.start < span.end and item.end > span.start]
    likeness = [((g.start, g.end) == (span.start, span.end), g.label is span.label) for g in near]
    return near[likeness.index(max(likeness))] if near else None


def _wrong(doc: Document, span: Span, meant: Gold | None) -> Error:
    kind = "invented"
    if meant:
        in_place = (meant.start, meant.end) == (span.start, span.end)
        kind = "label" if in_place else "boundary" if meant.label is span.label else "both"
    wanted = f"{meant.label.value}: {doc.text[meant.start : meant.end]}" if meant else ""
    return Error(kind, doc.document_id, span.label.value, wanted, doc.text, span.start, span.end, span.score)


def page(report: Mapping[str, Any], documents: Sequence[Document], answers: Sequence[Sequence[Span]]) -> str:
    """The whole page; it loads nothing from anywhere."""
    rows = "\n".join(_row(error) for error in errors(documents, answers))
    model = report["model"]
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Errors of {escape(model["id"])}</title>
<style>{_STYLE}</style><h1>Errors of {escape(model["id"])} {escape(model["version"])}</h1>
<p class="warn">This page holds text of the evaluated notes. Keep it where the notes may be kept.</p>
{_figures(report)}<h2>Confidence</h2><p>Expected calibration error {report["ece"]:.3f}. On the line, scores are true.</p>
{plot(report["reliability"])}<h2>Errors</h2><table><tr><th>kind<th>document<th>given<th>score<th>wanted<th>text</tr>
{rows}</table></html>
"""


def _figures(report: Mapping[str, Any]) -> str:
    lines = ["<table><tr><th>label<th>precision<th>recall<th>F1<th>partial F1<th>annotated</tr>"]
    strict, partial = report["strict"], report["partial"]
    named = [("all", strict["micro"], partial["micro"])]
    named += [(name, row, partial["per_label"][name]) for name, row in strict["per_label"].items()]
    lines += [
        f"<tr><td>{escape(name)}<td class=n>{row['precision']:.3f}<td class=n>{row['recall']:.3f}"
        f"<td class=n>{row['f1']:.3f}<td class=n>{loose['f1']:.3f}<td class=n>{row['support']}</tr>"
        for name, row, loose in named
    ]
    return "\n".join([*lines, "</table>"])


def plot(rows: Sequence[Mapping[str, float]], size: int = 260) -> str:
    """The reliability plot as SVG: a dot a bin, its area by how many entities it holds."""
    most = max((row["count"] for row in rows), default=1)
    dots = "".join(
        f'<circle cx="{row["score"] * size:.1f}" cy="{(1 - row["right"]) * size:.1f}" '
        f'r="{3 + 9 * (row["count"] / most) ** 0.5:.1f}" fill="#2f6fde" fill-opacity=".6">'
        f"<title>{row['count']:.0f} entities: score {row['score']:.2f}, right {row['right']:.2f}</title></circle>"
        for row in rows
    )
    texts = "".join(
        f'<text x="{x}" y="{y}" text-anchor="{anchor}">{words}</text>'
        for x, y, anchor, words in (
            (0, size + 18, "middle", "0"),
            (size, size + 18, "middle", "1"),
            (size / 2, size + 18, "middle", "score"),
            (-8, size, "end", "0"),
            (-8, 10, "end", "1"),
            (-8, size / 2, "end", "right"),
        )
    )
    return (
        f'<svg width="{size + 72}" height="{size + 36}" viewBox="-48 -12 {size + 72} {size + 36}" role="img" font-size="13" '
        f'aria-label="reliability plot"><rect width="{size}" height="{size}" fill="none" stroke="#9aa5b1"/>'
        f'<line x1="0" y1="{size}" x2="{size}" y2="0" stroke="#9aa5b1" stroke-dasharray="4"/>{texts}{dots}</svg>'
    )


def _row(error: Error) -> str:
    before = error.text[max(0, error.start - AROUND) : error.start]
    after = error.text[error.end : error.end + AROUND]
    score = "" if error.score is None else f"{error.score:.2f}"
    shown = f"{escape(before)}<mark>{escape(error.text[error.start : error.end])}</mark>{escape(after)}"
    return (
        f'<tr class="{error.kind}"><td>{error.kind}<td>{escape(error.document)}<td>{error.label}<td class=n>{score}'
        f"<td>{escape(error.wanted)}<td>{shown}</tr>"
    )
