"""One statement of a note: which of its words speak of which of its findings."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence

from engine.nlp.phrases import Match, Tokens
from engine.nlp.triggers import Meaning, Reach, Trigger, trigger_table
from engine.records import Label, Span

TRIGGERS = trigger_table()

_NEAR_WORDS = 4  # "not in any acute distress"
_NEXT_WORDS = 2  # the finding itself, or past one word
_TOUCHING = re.compile(r"[ \t]?[(:\-–]?[ \t]?")
# "fever -, cough (-)": a minus written after a finding, and nothing after the minus.
_MINUS = re.compile(r"[ \t]?(?:\((?:[-–−]|neg|nil)\)|[-–−](?:ve\b)?(?=[ \t]*(?:[,;.)/]|[\r\n]|$)))")
# "3-day history of cough" and "2/7 h/o fever" tell since when: it is now. (2/7 are days, 2/52 weeks, 2/12 months.)
_SINCE_WHEN = re.compile(
    r"(?:\d\s*/\s*(?:7|52|12|24)|(?:\d|\b(?:a|one|two|three|four|five|six|seven|few|several))[\s-]*"
    r"(?:h(?:ou)?rs?|days?|d|w(?:ee)?ks?|m(?:on)?ths?|y(?:ea)?rs?)['’]?)[ \t-]*$",
    re.IGNORECASE,
)
# "Uncle 72yo come in": who is called so in Singapore is the patient.
_ADDRESSED = re.compile(
    r"(?:uncle|aunt(?:y|ie))[ \t]*,?[ \t]*(?:\d{2,3}[ \t]*(?:y|/)|(?:come|came|c/o|complain)s?\b)",
    re.IGNORECASE,
)
# "Unable to walk without pain" tells of pain. It is "without" that is denied.
_CANNOT = frozenset(("unable", "cannot", "can't", "never", "not"))
_CANNOT_WORDS = 5  # between the two
_HISTORY = frozenset(("history", "hx", "h"))
_SINCE_CHARS = 20
_MARKS = frozenset(",:;.()/")
_DASH = re.compile(r"[ \t]+[-–—][ \t]+")  # "No milk - lactose intolerance": what follows is said anew
# Findings of a kind: "no fever, CT brain normal" does not deny the CT.
KINDS: Mapping[Label, frozenset[Label]] = {
    Label.PROBLEM: frozenset((Label.PROBLEM, Label.PROCEDURE)),
    Label.PROCEDURE: frozenset((Label.PROBLEM, Label.PROCEDURE)),
    Label.MEDICATION: frozenset((Label.MEDICATION,)),
    Label.TEST: frozenset((Label.TEST,)),
}
_MARKERS = frozenset((Meaning.STOP, Meaning.VERB, Meaning.PATIENT, Meaning.NOTHING))
_PAST_VERBS = frozenset((Meaning.FAMILY, Meaning.HYPOTHETICAL))  # "mother has", "if he has"
_OF_ONE_KIND = frozenset((Meaning.NEGATED, Meaning.POSSIBLE, Meaning.HISTORICAL))


class Statement:
    """One sentence: its words, the findings in it and how far each of its triggers reaches."""

    def __init__(self, tokens: Tokens, spans: Sequence[Span]) -> None:
        self._tokens = tokens
        self._claims = [span for span in spans if span.label in KINDS]
        self._starts = [span.start for span in self._claims]
        matches = [
            match
            for match in TRIGGERS.find(tokens)
            if not self._is_inside_finding(match)
            and not self._tells_since_when(match)
            and not self._is_no_trigger_here(match)
        ]
        self._hard_stops = [m.first for m in matches if _means(m, Meaning.STOP)]
        verbs = [m.first for m in matches if _means(m, Meaning.VERB)]
        # "no mets, 1.4 cm nodule": a number behind a comma begins what is there.
        numbers = [
            at
            for at, word in enumerate(tokens.words[:-1])
            if word == "," and tokens.words[at + 1][0].isdigit()
        ]
        self._stops = sorted([*self._hard_stops, *verbs, *numbers])
        self._commas = [at for at, word in enumerate(tokens.words) if word == ","]
        self._opened = [at for at, word in enumerate(tokens.words) if word == "("]
        self._closed = [at for at, word in enumerate(tokens.words) if word == ")"]
        self._dashes = [
            at
            for at in range(1, len(tokens.words))
            if _DASH.fullmatch(tokens.text, tokens.ends[at - 1], tokens.starts[at])
        ]
        self._patients = [m.first for m in matches if _means(m, Meaning.PATIENT)]
        self._reaches: dict[tuple[Meaning, frozenset[Label], str], list[tuple[int, int]]] = defaultdict(list)
        for match in matches:
            for trigger in match.value:
                self._add(match, trigger)
        for spans_of_one in self._reaches.values():
            spans_of_one[:] = _merged(spans_of_one)

    def meanings(self, span: Span) -> dict[Meaning, str]:
        """What is said of ``span``; for FAMILY, of which relative."""
        found: dict[Meaning, str] = {}
        nearest = -1
        for (meaning, labels, kin), reaches in self._reaches.items():
            at = bisect_right(reaches, (span.start, len(self._tokens.text) + 1)) - 1
            if at < 0 or reaches[at][1] <= span.start or (labels and span.label not in labels):
                continue
            if meaning is not Meaning.FAMILY:
                found[meaning] = ""
            elif reaches[at][0] > nearest and (kin or meaning not in found):
                found[meaning] = kin
                nearest = reaches[at][0] if kin else nearest
        if span.label is Label.PROBLEM and _MINUS.match(self._tokens.text, span.end):
            found[Meaning.NEGATED] = ""
        return found

    def _is_inside_finding(self, match: Match[tuple[Trigger, ...]]) -> bool:
        """A trigger that is part of a finding ("gram negative sepsis") says nothing of it."""
        start = self._tokens.starts[match.first]
        at = bisect_right(self._starts, start) - 1
        return at >= 0 and self._tokens.ends[match.last - 1] <= self._claims[at].end

    def _tells_since_when(self, match: Match[tuple[Trigger, ...]]) -> bool:
        """Whether a "history of" has a span of time before it."""
        if not _means(match, Meaning.HISTORICAL) or self._tokens.words[match.first] not in _HISTORY:
            return False
        start = self._tokens.starts[match.first]
        return _SINCE_WHEN.search(self._tokens.text[max(0, start - _SINCE_CHARS) : start]) is not None

    def _is_no_trigger_here(self, match: Match[tuple[Trigger, ...]]) -> bool:
        """A ">" of a number, a patient called uncle, and a "without" that is itself denied."""
        words, at = self._tokens.words, match.first
        if words[at] == ">":
            return at + 1 < len(words) and words[at + 1].isdigit()
        if words[at] == "without":
            return any(word in _CANNOT for word in words[max(0, at - _CANNOT_WORDS) : at])
        return at == 0 and _ADDRESSED.match(self._tokens.text, self._tokens.starts[at]) is not None

    def _add(self, match: Match[tuple[Trigger, ...]], trigger: Trigger) -> None:
        start, end, nearest = self._reach(match, trigger)
        labels = trigger.labels
        if nearest is not None and trigger.meaning in _OF_ONE_KIND:
            labels = (labels & KINDS[nearest.label]) if labels else KINDS[nearest.label]
            if not labels:
                return
        if start < end:
            self._reaches[trigger.meaning, labels, trigger.kin].append((start, end))

    def _reach(self, match: Match[tuple[Trigger, ...]], trigger: Trigger) -> tuple[int, int, Span | None]:
        """Offsets that a trigger reaches, and the finding in them that is nearest to it."""
        if trigger.meaning in _MARKERS:
            return 0, 0, None
        reach = self._direction(match, trigger.reach)
        before = self._before(match)
        if reach is Reach.TOUCHING:
            touching = before is not None and self._touches(before, match)
            return (before.start, before.end, before) if before and touching else (0, 0, None)
        if reach in {Reach.ITEM, Reach.LIST}:
            start = self._start_of_clause(match, to_comma=reach is Reach.ITEM)
            return start, self._tokens.starts[match.first], before
        start = self._after(match)
        end = self._end_of_clause(match, trigger, reach)
        at = bisect_right(self._starts, start - 1)
        after = self._claims[at] if at < len(self._claims) and self._claims[at].start < end else None
        return start, end, after

    def _direction(self, match: Match[tuple[Trigger, ...]], reach: Reach) -> Reach:
        """Settles the reaches that look at what stands around them."""
        tokens = self._tokens
        if reach is Reach.EITHER:
            goes_on = match.last < len(tokens.words) and tokens.words[match.last] not in _MARKS
            gap = tokens.text[tokens.ends[match.last - 1] : tokens.starts[match.last]] if goes_on else ""
            return Reach.CLAUSE if goes_on and gap.strip(" ") == "" and len(gap) < 2 else Reach.ITEM
        if reach is Reach.PHRASE:
            goes_on = match.last < len(tokens.words) and tokens.words[match.last] not in _MARKS
            return Reach.PHRASE if goes_on else Reach.ITEM
        if reach is Reach.BESIDE:
            before = self._before(match)
            if before is not None and self._touches(before, match):
                return Reach.ITEM
            start = tokens.starts[match.last] if match.last < len(tokens.words) else -1
            at = bisect_left(self._starts, start)
            return Reach.NEXT if at < len(self._starts) and self._starts[at] == start else Reach.ITEM
        if reach is Reach.AROUND:
            before = self._before(match)
            return Reach.ITEM if before is not None and self._touches(before, match) else Reach.CLAUSE
        if reach is Reach.MARK:
            at = tokens.starts[match.first]
            written_after = (
                at > 0 and not tokens.text[at - 1].isspace() and tokens.text[at - 1] not in "?(:,/"
            )
            return Reach.TOUCHING if written_after else Reach.NEAR
        return reach

    def _before(self, match: Match[tuple[Trigger, ...]]) -> Span | None:
        at = bisect_right(self._starts, self._tokens.starts[match.first] - 1) - 1
        return self._claims[at] if at >= 0 else None

    def _after(self, match: Match[tuple[Trigger, ...]]) -> int:
        """Where the reach of a trigger begins; a finding that shares a word with it is reached: "no acute MI"."""
        end = self._tokens.ends[match.last - 1]
        at = bisect_right(self._starts, end - 1) - 1
        shares = (
            at >= 0
            and self._tokens.starts[match.first] <= self._claims[at].start
            and end < self._claims[at].end
        )
        return self._claims[at].start if shares else end

    def _touches(self, span: Span, match: Match[tuple[Trigger, ...]]) -> bool:
        tokens = self._tokens
        start = tokens.starts[match.first]
        return span.end <= start and _TOUCHING.fullmatch(tokens.text, span.end, start) is not None

    def _start_of_clause(self, match: Match[tuple[Trigger, ...]], *, to_comma: bool) -> int:
        tokens = self._tokens
        at = bisect_right(self._stops, match.first - 1) - 1
        first = self._stops[at] if at >= 0 else 0
        if to_comma:
            comma = bisect_right(self._commas, match.first - 1) - 1
            first = max(first, self._commas[comma] if comma >= 0 else 0)
        return tokens.starts[first]

    def _end_of_clause(self, match: Match[tuple[Trigger, ...]], trigger: Trigger, reach: Reach) -> int:
        tokens = self._tokens
        stops = self._hard_stops if trigger.meaning in _PAST_VERBS else self._stops
        last = _next(stops, match.last, len(tokens.words))
        if trigger.meaning is Meaning.FAMILY:
            last = min(last, _next(self._patients, match.last, last))
        if trigger.meaning is Meaning.NEGATED:
            last = _next(self._dashes, match.last + 1, last)
        last = min(last, self._end_of_bracket(match, last))
        if reach is Reach.PHRASE:
            last = _next(self._commas, match.last, last) if self._commas else last
            last = min(last, _next(self._hard_stops, match.last, last))
        elif reach is not Reach.CLAUSE:
            words = _NEAR_WORDS if reach is Reach.NEAR else _NEXT_WORDS
            last = min(last, match.last + words)
            marks = "," if reach is Reach.NEAR else _MARKS
            last = next((at for at in range(match.last, last) if tokens.words[at] in marks), last)
        return tokens.starts[last] if last < len(tokens.words) else len(tokens.text)

    def _end_of_bracket(self, match: Match[tuple[Trigger, ...]], otherwise: int) -> int:
        """What is said in brackets ends with them: "COPD (not on LTOT), CCF"."""
        opened = bisect_left(self._opened, match.first) - 1
        if opened < 0:
            return otherwise
        closed = _next(self._closed, self._opened[opened], otherwise)
        return min(closed, otherwise) if closed >= match.last else otherwise


def _means(match: Match[tuple[Trigger, ...]], meaning: Meaning) -> bool:
    return any(trigger.meaning is meaning for trigger in match.value)


def _next(marks: Sequence[int], at: int, otherwise: int) -> int:
    index = bisect_right(marks, at - 1)
    return marks[index] if index < len(marks) else otherwise


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same stretches, sorted and without overlaps."""
    out: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((start, end))
    return out
