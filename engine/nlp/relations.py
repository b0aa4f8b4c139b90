"""Which dosage belongs to which medication, and which value to which test.

Order rules, as ward notes are written: what follows a name belongs to it ("metformin 500 mg BD"), unless it
leads the name it touches ("500 mg of paracetamol"); names listed together and then values listed together
pair off in order ("Hb and WBC were 10.2 and 8.9"). Nothing reaches over the end of a sentence.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence

from engine.nlp.sentences import sentences_of
from engine.records import Label, Span

# The part: the whole it belongs to.
BELONGS_TO = {Label.DOSAGE: Label.MEDICATION, Label.TEST_VALUE: Label.TEST}

_LEADS = re.compile(r"\s?(?:of|of oral|of iv|x|to)?\s?", re.IGNORECASE)  # between "500 mg" and "paracetamol"
_PARTS_TO = re.compile(r"[\s,;/()]*(?:and|then|or|followed by)?[\s,;/()]*", re.IGNORECASE)  # between parts
# "Plt 98, Neut 88%": a word behind a comma and right before a value names another test, known or not.
_OTHER_NAME = re.compile(r"[,;/:][ \t]*(?P<word>[A-Za-z][\w+-]*)(?:[ \t]+[A-Za-z]\w*)?[ \t]*[:=]?[ \t]*$")
_NO_NAME = re.compile(
    r"about|above|after|and|approximately|around|as|at|baseline|before|below|but|by|corrected|currently|day|decreased|down|dropped|fell|from|high"
    r"|improved|improving|in|increased|initial|initially|is|last|later|latest|low|mildly|now|of|on|only|over|peak|peaked|prev|previous|previously"
    r"|prior|raised|repeat|repeated|rising|rose|since|slightly|stable|still|the|then|to|today|trending|under|up|was|were|which|with|yesterday|ytd",
    re.IGNORECASE,
)
# The same between a dose and the next: what may stand there and names no other medicine.
_NO_DRUG = re.compile(
    rf"{_NO_NAME.pattern}|additional|again|alternating|another|bolus|continue[ds]?|cap|caps|cont|daily|dose|each|every|extra|first|followed|for|give|given|half|if|im|infusion"
    r"|inj|iv|load|loading|maintenance|max|maximum|morning|neb|nebs|night|once|one|oral|orally|plus|po|pr|prn|reduce[ds]?|sc|second|stat|start|started|tab|tabs|take|taken"
    r"|taper|tapered|tapering|titrate[ds]?|total|twice|via|weaned|weekly|when|x",
    re.IGNORECASE,
)
# "lost 5 kg in weight": by how much something changed is not its value.
_BY_HOW_MUCH = re.compile(
    r"\b(?:los[et]|losing|gain(?:ed|ing|s)?|put on|(?:loss|gain|drop|rise|fall|increase|decrease) of|(?:dropped|fell|fallen|rose|risen|increased|decreased|up|down) by)"
    r"[ ](?:about |approximately |~ ?|another )?$",
    re.IGNORECASE,
)
_OXYGEN = re.compile(r"\d{2,3}[ ]?%")
_SIZE = re.compile(r"\d[ ]?(?:mm|cm)\b", re.IGNORECASE)
_LOOK_BACK = 30  # characters; longer than any of these
_ENDS_ITEM = re.compile(r"[,;|]|[.](?=\s)")
_MAX_DISTANCE = 120  # characters from the end of a name to its part
_MAX_LINK = 3  # characters between a test and the value right behind it
_MAX_LEAD = 40  # characters from a part to the name after it, when no name stands before


def relations_of(text: str, spans: Sequence[Span]) -> dict[int, tuple[int, ...]]:
    """For each medication and test that has parts: the indexes of its dosages or values, in order.

    ``spans`` are sorted by start. A part belongs to one name at most; a part without a name to nobody.
    """
    owned: dict[int, list[int]] = {}
    starts = [span.start for span in spans]
    for start, end in sentences_of(text):
        within = range(bisect_left(starts, start), bisect_left(starts, end))
        for part_label, whole_label in BELONGS_TO.items():
            parts = [at for at in within if spans[at].label is part_label]
            wholes = [at for at in within if spans[at].label is whole_label]
            if parts and wholes:
                pairs = _listed(spans, parts, wholes) or _pairs(text, spans, parts, wholes)
                for part, whole in pairs:
                    owned.setdefault(whole, []).append(part)
    return {whole: tuple(sorted(parts)) for whole, parts in owned.items()}


def _pairs(text: str, spans: Sequence[Span], parts: list[int], wholes: list[int]) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    previous: tuple[int, int] | None = None  # the part before this one, and its name
    for part in parts:
        whole = _whole_of(text, spans, part, wholes, previous)
        if whole is not None:
            pairs.append((part, whole))
            previous = (part, whole)
    return pairs


def _listed(spans: Sequence[Span], parts: list[int], wholes: list[int]) -> list[tuple[int, int]]:
    """As many values as tests, all values after all tests: first to first, second to second."""
    if (
        spans[parts[0]].label is not Label.TEST_VALUE
        or len(parts) != len(wholes)
        or len(wholes) < 2
        or spans[wholes[-1]].start > spans[parts[0]].start
    ):
        return []
    return list(zip(parts, wholes, strict=True))


def _whole_of(
    text: str, spans: Sequence[Span], part: int, wholes: list[int], previous: tuple[int, int] | None
) -> int | None:
    span = spans[part]
    at = bisect_left(wholes, part)
    before = wholes[at - 1] if at else None
    after = wholes[at] if at < len(wholes) else None
    if span.label is Label.TEST_VALUE and _is_of_oxygen(text, span):
        return None
    if span.label is Label.TEST_VALUE and _BY_HOW_MUCH.search(
        text[max(0, span.start - _LOOK_BACK) : span.start]
    ):
        return None
    # "T 100.9F HR 108": a number before a test that has its own is of something else.
    if _is_size_of_finding(text, spans, part):
        return None
    leads = (
        after is not None
        and _LEADS.fullmatch(text, span.end, spans[after].start) is not None
        and not _has_a_number(text, spans, part, after)
    )
    follows = before is not None and _is_adjacent(text, spans, before, part, previous)
    if leads and not follows:
        return after
    if before is not None and span.start - spans[before].end <= _MAX_DISTANCE:
        last = spans[previous[0]].end if previous is not None and previous[1] == before else 0
        gap = text[max(last, spans[before].end) : span.start]
        return (
            None if _names_another(gap, _NO_NAME if span.label is Label.TEST_VALUE else _NO_DRUG) else before
        )
    if before is None and after is not None and spans[after].start - span.end <= _MAX_LEAD:
        # "vit K 5mg IV, IV morphine": what has its own name, if one we do not know, leads no other.
        is_of_another = _ENDS_ITEM.search(text, span.end, spans[after].start) is not None
        return None if is_of_another or _has_a_number(text, spans, part, after) else after
    return None


def _is_of_oxygen(text: str, span: Span) -> bool:
    """Whether it is what a patient breathes, and no result: "SpO2 91% on 28% VM"."""
    before = text[max(0, span.start - _LOOK_BACK) : span.start]
    return _OXYGEN.fullmatch(text, span.start, span.end) is not None and before.endswith((" on ", " On "))


def _is_size_of_finding(text: str, spans: Sequence[Span], part: int) -> bool:
    """Whether a length stands right before a problem: of "CT: 1.4 cm nodule" the nodule is measured."""
    span = spans[part]
    return (
        span.label is Label.TEST_VALUE
        and part + 1 < len(spans)
        and spans[part + 1].label is Label.PROBLEM
        and not text[span.end : spans[part + 1].start].strip(" \t")
        and _SIZE.search(text, span.start, span.end) is not None
    )


def _has_a_number(text: str, spans: Sequence[Span], part: int, whole: int) -> bool:
    """Whether a part is a number, and right behind the test is one too."""
    own = whole + 1
    return (
        own < len(spans)
        and spans[part].label is Label.TEST_VALUE
        and spans[own].label is Label.TEST_VALUE
        and spans[own].start - spans[whole].end <= _MAX_LINK
        and all(any(map(str.isdigit, text[spans[at].start : spans[at].end])) for at in (part, own))
    )


def _names_another(gap: str, no_names: re.Pattern[str]) -> bool:
    match = _OTHER_NAME.search(gap)
    return match is not None and no_names.fullmatch(match["word"]) is None


def _is_adjacent(
    text: str, spans: Sequence[Span], whole: int, part: int, previous: tuple[int, int] | None
) -> bool:
    """Whether only marks, or other parts of the same name, stand between a name and the part."""
    start = spans[whole].end
    if previous is not None and previous[1] == whole and previous[0] > whole:
        start = max(start, spans[previous[0]].end)
        # "500 mg metformin BD and 100 mg aspirin": after "and" a new item begins.
        return text[start : spans[part].start].strip(" \t") in {"", "/"}
    return (
        _PARTS_TO.fullmatch(text, start, spans[part].start) is not None
        and "," not in text[start : spans[part].start]
    )
