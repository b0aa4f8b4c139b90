"""Finds what has a form rather than a name: doses, routes and frequencies, values with units, vital signs.

Every run is bounded, so that no text makes a pattern run away.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from engine.records import Label
from models.lexicon.words import Found, Rule

# Signs and spaces of print, as the one ASCII character each that the patterns know: offsets stay.
_PLAIN = {
    **dict.fromkeys((0xA0, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000, 0x09), " "),
    **dict.fromkeys((0x2010, 0x2011, 0x2012, 0x2013, 0x2212), "-"),
    0xD7: "x",
    0xB5: "u",
    0x3BC: "u",
    0x2103: "C",
    0xFF1A: ":",
    0xFF0C: ",",
}

_NUMBER = r"(?:\d{1,3}(?:,\d{3}|[ ]\d{3}){1,2}|\d{1,7})(?:[.]\d{1,4}|,\d{1,2})?(?![\d])"
_RANGE = rf"{_NUMBER}(?:[ ]?(?:-|to|/)[ ]?{_NUMBER})?"

# Amount with a unit of medicine. "mg/dL" is a concentration, "ml/min" a clearance: those are values.
_DOSE = re.compile(
    rf"(?<![\w.,/]){_RANGE}[ -]?"
    r"(?:mg|milligrams?|mcg|ug|micrograms?|ng|gm?|grams?|ml|mls|cc|units?|iu|u|mmol|meq|million units"
    r"|tab(?:let)?s?|cap(?:sule)?s?|puffs?|drops?|gtt|sachets?|satchets?|amp(?:oule)?s?|vials?|patch(?:es)?|sprays?|tsp"
    r"|pints?|bags?)"
    r"(?:[ ]?(?:/|per)[ ]?(?:kg|m2|m²|day|d|dose|hr?|hour|min|week|24[ ]?h|body))*"
    r"(?![\w%])(?![ ]?(?:/|per)[ ]?(?:d?l|ml|L|dL|litre|liter|mmol|g|kg|mol|24))",
    re.IGNORECASE,
)
# How often, where no other word could be meant.
_HOW_OFTEN = re.compile(
    r"(?<![\w/])(?:(?:once|twice|thrice|(?:one|two|three|four|five|six|\d{1,2})[ ]times?)[ -]?(?:/|(?:a|per|every|each)[ ])?"
    r"(?:daily|day|week|weekly|month)"
    r"|every[ ](?:other[ ]day|morning|night|evening|\d{1,2}(?:[ ]?(?:-|to)[ ]?\d{1,2})?[ ]?(?:hours?|hrs?|h|days?|weeks?|months?|minutes?))"
    r"|\d{1,2}[ -]?hourly|q\.?\d{1,2}(?:-\d{1,2})?[ ]?h(?:rs?)?|\d[ ]?x[ ]?/[ ]?(?:day|week|wk|month)|q[.][iod][.][dn][.]|q[io]?d|qds|t[.]i[.]d[.]|t[.]d[.]s[.]|tid|tds"
    r"|b[.]i[.]d[.]|b[.]d[.]|bid|bd|o[.]d[.]|eod|p[.]r[.]n[.]|prn|nocte|stat(?=[ ]dose|[,.;]|[ ]?$)|once[ ]daily|daily|nightly|at[ ]bedtime|alternate[ ]days?"
    r"|once[ ]weekly|as[ ]needed|when[ ]required|when[ ]necessary)(?![\w])",
    re.IGNORECASE,
)
# Shorthand that means a dosage only beside a medicine or another part of a dosage. Some of it are words
# ("on", "am", "pr"), so case and what it stands beside decide.
_ROUTE = (
    r"PO|po|p[.]o[.]|IV|iv|i[.]v[.]|IM|im|i[.]m[.]|SC|sc|s/c|S/C|SL|sl|s/l|S/L|PR|INH|inh|NEB|LA|[Nn]eb(?:s|uli[sz]ed)?"
    r"|[Oo]ral(?:ly)?|[Ii]ntravenous(?:ly)?|[Ii]ntramuscular(?:ly)?|[Ss]ubcutaneous(?:ly)?|[Ss]ublingual(?:ly)?|[Tt]opical(?:ly)?"
    r"|rectally|[Ii]nhaled|[Ii]ntrathecal(?:ly)?|[Ii]ntranasal(?:ly)?|[Ii]ntraperitoneal(?:ly)?|[Tt]ransdermal|by[ ]mouth|via[ ]NGT"
)
_WHEN = r"OM|OD|OW|HS|SOS|STAT|stat|(?:in[ ]the[ ](?:morning|evening)|at[ ]night|(?:before|after|with)[ ](?:meals?|food|breakfast|dinner))"
_WHEN_AFTER_DOSE = (
    r"ON|om|od|AM|PM|AC|PC|hs|(?:a|per)[ ](?:day|night|week)|bolus|infusion|loading[ ]dose|pre-?(?:breakfast|lunch|dinner|meals?|bed)|(?:on[ ])?(?:[Mm]on|[Tt]ue|[Ww]ed|[Tt]hu|[Ff]ri|[Ss]at|[Ss]un)[a-z]{0,6}"
    r"(?:[/,&+ ]{1,2}(?:[Mm]on|[Tt]ue|[Ww]ed|[Tt]hu|[Ff]ri|[Ss]at|[Ss]un)[a-z]{0,6}){0,6}|(?:on[ ])?(?:the[ ])?other[ ]days|x[ ]?\d{1,2}[ ](?:days?|weeks?|months?|doses?)"
    r"|x[ ]?\d{1,2}(?:/\d{1,2})?|for[ ]\d{1,3}/(?:7|52|12)|\d{1,2}/(?:7|52|12)"
)
_AFTER_NAME = re.compile(rf"[ ]?[,|]?[ ]{{0,2}}\(?(?P<part>(?:{_ROUTE}|{_WHEN})(?![\w/]))")
_AFTER_DOSE = re.compile(rf"[ ]?[,|]?[ ]{{0,2}}\(?(?P<part>(?:{_ROUTE}|{_WHEN}|{_WHEN_AFTER_DOSE})(?![\w/]))")
_BEFORE = re.compile(rf"(?<![\w/])(?P<part>{_ROUTE})(?=[ ]$)")
_TOGETHER = re.compile(r"[ ]{0,2}[,|]?[ ]{0,2}")
_LEADS_ON = re.compile(r"[ ](?:\w{4}|D\d{1,2}\b|[A-Za-z]{1,3}[ ]\d)")  # a word that is no shorthand follows
_LOOK_BACK = 26  # characters; longer than any route

_UNIT = (
    r"(?:%|mm[ ]?hg|cm[ ]?h2o|kpa|bpm|beats[ ]?(?:/|per)[ ]?min(?:ute)?|breaths[ ]?(?:/|per)[ ]?min(?:ute)?|/min|per[ ]min(?:ute)?"
    r"|°[ ]?[cf]|deg(?:rees)?(?:[ ]?(?:c|celsius|f))?|celsius"
    r"|m?g/(?:d?l|24[ ]?h(?:rs?)?|day|g|mmol)|[munpk]?g/(?:m|d)?l|mcg/d?l|[mnpu]?mol/(?:l|mol|24[ ]?h)|meq/l|m?osm(?:ol)?/(?:kg|l)"
    r"|[muk]?i?u/(?:m|d)?l|[munpk]?kat/l|x[ ]?10\^?[(]?\d{1,2}[)]?/[ ]?(?:l|ul|mm3)|10\^\d{1,2}/l|\*?10e?\d/l|(?:k|/)[ ]?/?ul|/mm3|/cu[ ]?mm|cells?/(?:mm3|ul|hpf)"
    r"|/hpf|/lpf|gm?%|fl|pg|mm/h(?:r|our)?|ml(?:/kg)?/h(?:r|our)?|ml/min(?:/1\.73[ ]?m\^?[2²])?|kg/m\^?[2²]|kg|cm|mm|l/min|mmol|mol|sec(?:onds?)?|ms|mv|dioptres?|copies/ml|cfu/ml)"
)
_FLAG = r"(?:[ ]?\((?:h|l|hh|ll|high|low|h\*|l\*|\*)\)|[ ](?:h|l|hh|ll)(?![\w/]))?"
_NOT_TIME = (
    r"(?![ ]?(?:/(?:7|12|52)(?!\d)|/\d{1,2}/\d|-?(?:days?|weeks?|months?|years?|yrs?|hours?|hrs?|minutes?|mins?|times?|st|nd|rd|th|x|am|pm|hrs?|o'clock|y/?o)"
    r"(?![\w])))"
)
_COMPARATOR = (
    r"(?:(?:<=?|>=?|≤|≥|~|≈|less[ ]than|more[ ]than|greater[ ]than|above|below|over|under|up[ ]to)[ ]?)?"
)
_AMOUNT = rf"{_COMPARATOR}-?{_NUMBER}(?![\d:]|/\d{{1,2}}[:)]){_NOT_TIME}(?:[ ]?(?:-|/|to)[ ]?{_NUMBER}(?![\d:/]){_NOT_TIME})?(?:[ ]?{_UNIT}(?![A-Za-z0-9]))?{_FLAG}"
_QUALITY = (
    r"(?:(?:not[ ]|non[- ]?)?(?:detected|reactive|normal|abnormal|negative|positive|elevated|raised|decreased|increased|reduced"
    r"|unremarkable|borderline|deranged|prolonged|trace|clear|equivocal|within[ ]normal[ ](?:limits|range)|high|low|neg|pos|nil|nad)"
    r"|no[ ]growth|E[1-4]V[1-5T]M[1-6]|[+-]ve|\+{1,4}|[1-4]\+|WNL)(?![\w])"
)
# Between a test and its value.
_LINK = (
    # "K+ 5.4", "Cl- 101", "Ca2+ 2.3": the charge of an ion is no value.
    r"(?:2?[+-](?=[ ]{0,3}[:=]?[ ]{0,3}[<>]?\d))?"
    r"(?:[ ]{0,4}(?:(?:level|levels|value|reading|result|results|count|titre|titer|Ag|Ab|antigen|antibody)[ ])?"
    r"(?:(?:of|is|was|were|are|at|showed|shows|shown|revealed|came[ ]back|remained|being|to|found[ ]to[ ]be|noted[ ]to[ ]be|reported[ ]as|on[ ]RA)[ ]|[:=~@|][ ]{0,3}|-[ ]|-[>][ ]?|→[ ]?|\()?"
    r"(?:(?:has[ ]|have[ ])?(?:dropped|fallen|fell|risen|rose|increased|decreased|improved|gone[ ]up|gone[ ]down|went[ ]up|went[ ]down"
    rf"|trended[ ]up|trended[ ]down|down|up)[ ](?:from[ ]{_NUMBER}(?:[ ]?%|[ ]?[a-z]{{1,4}}/[a-z]{{1,4}})?[ ])?to[ ])?"
    r"(?:(?:also|still|slightly|mildly|markedly|moderately|significantly|only|about|approximately|around|within|at|[:=])[ ]?)?)"
)
_VALUE_AFTER = re.compile(rf"{_LINK}(?P<value>{_AMOUNT}|{_QUALITY})", re.IGNORECASE)
_NEXT_VALUE = re.compile(
    rf"(?:[ ]?(?:->|→|=>|-->|>|<-{{1,2}}|←)[ ]?|[ ]?[(,]?[ ]?(?:prev(?:ious(?:ly)?)?|baseline|last)[ :]{{1,2}}(?:was[ ])?)(?P<value>{_AMOUNT})",
    re.IGNORECASE,
)
# "Mammogram 2021", "Echo 12/2": behind these a bare number is a date.
_PICTURE = re.compile(
    r"(?:gram|scan|scopy|OGD|echo|biopsy|x-?ray|CXR|AXR|KUB|film|ultrasound|US|ECG|EEG|EMG|MRI|MRCP|ERCP|PET|CT)(?:[ ][a-z]+){0,2}",
    re.IGNORECASE,
)
_DATE = re.compile(r"[ ]{0,2}(?:(?:19|20)\d\d|\d{1,2}/\d{1,2}(?:/\d{2,4})?)(?![\w%]|[.]\d|[ ]?(?:cm|mm|ml))")
_QUALITY_BEFORE = re.compile(
    r"(?<![\w-])(?P<value>normal|abnormal|elevated|raised|decreased|increased|reduced|low|high|negative|positive|deranged|prolonged|unremarkable)[ ]$",
    re.IGNORECASE,
)
_VALUE_ALONE = re.compile(
    rf"(?<![\w.,/-]){_COMPARATOR}{_NUMBER}(?:[ ]?(?:-|/)[ ]?{_NUMBER})?[ ]?{_UNIT}(?![A-Za-z0-9]){_FLAG}",
    re.IGNORECASE,
)
# What is written between brackets, or after these words, is what would be normal.
_REFERENCE_BEFORE = re.compile(
    r"(?:[(\[]|\b(?:ref(?:erence)?|normal|range|interval|limits?|target|goal)\b[^.;\d]{0,16})[ ]*$",
    re.IGNORECASE,
)
# Vital signs and results written together or too short to be words: "BP120/80", "T 37.2", "HR88".
_GLUED = re.compile(
    r"(?<!\w)(?:(?P<t>BP)[ ]?:?[ ]?(?P<v>\d{2,3}s?/\d{2,3}s?)|(?P<t2>HR|PR|RR|GCS|CBG|TW|Plt|CRP)(?P<v2>\d{1,4}(?:\.\d)?)"
    r"|(?P<t3>SpO2|SaO2)(?P<v3>\d{2,3}[ ]?%?)|(?P<t4>T|Temp|Tm|Tmax)[ ]?[:=]?[ ]?(?P<v4>(?:3[4-9]|4[0-2])(?:\.\d{1,2})?(?:[ ]?(?:°[ ]?)?C)?|(?:9[5-9]|10[0-7])(?:\.\d{1,2})?[ ]?(?:°[ ]?)?F)"
    r"|(?P<t6>VA)[ ]?:?[ ](?P<v6>6/(?:4|5|6|7\.5|9|12|15|18|24|30|36|60))"
    r"|(?P<t5>Hb|Na|K|Cr|INR)(?P<v5>\d{1,3}(?:\.\d{1,2})?))(?![\w/])"
)


def plain(text: str) -> str:
    """The text with printed spaces, dashes and signs as ASCII; as long as before."""
    return text.replace("\t", " ") if text.isascii() else text.translate(_PLAIN)


def find_dosages(text: str, medications: Sequence[Found]) -> list[Found]:
    """Doses, frequencies and routes. Parts that stand together are one: "100 mg OM".

    ``text`` is :func:`plain`. ``medications`` make the shorthand beside them count.
    """
    parts = [
        Found(match.start(), match.end(), Label.DOSAGE, Rule.PATTERN)
        for pattern in (_DOSE, _HOW_OFTEN)
        for match in pattern.finditer(text)
    ]
    parts += [part for dose in parts for part in _after(text, dose, _AFTER_DOSE)]
    parts += [part for name in medications for part in _after(text, name, _AFTER_NAME)]
    joined: list[Found] = []
    for part in sorted(set(parts)):
        if joined and _TOGETHER.fullmatch(text, joined[-1].end, max(part.start, joined[-1].end)):
            rule = Rule.PATTERN if Rule.PATTERN in {joined[-1].rule, part.rule} else Rule.ADJACENT
            joined[-1] = Found(joined[-1].start, max(joined[-1].end, part.end), Label.DOSAGE, rule)
        else:
            joined.append(part)
    return joined + [part for anchor in [*joined, *medications] for part in _before(text, anchor)]


def _after(text: str, anchor: Found, beside: re.Pattern[str]) -> Iterator[Found]:
    """The shorthand that follows, up to one that leads the next name: "100 mg OM, IV ceftriaxone"."""
    at = anchor.end
    while match := beside.match(text, at):
        if "," in match.group() and _LEADS_ON.match(text, match.end()):
            return
        yield Found(match.start("part"), match.end("part"), Label.DOSAGE, Rule.ADJACENT)
        at = match.end("part")
        beside = _AFTER_DOSE


def _before(text: str, anchor: Found) -> Iterator[Found]:
    back = max(0, anchor.start - _LOOK_BACK)
    match = _BEFORE.search(text[back : anchor.start])
    if match is not None:
        yield Found(back + match.start("part"), back + match.end("part"), Label.DOSAGE, Rule.ADJACENT)


def find_values(text: str, tests: Sequence[Found]) -> list[Found]:
    """Values of the tests, and values that show by their unit alone; not the ranges beside them.

    ``text`` is :func:`plain`.
    """
    found = [
        Found(match.start(), match.end(), Label.TEST_VALUE, Rule.BARE)
        for match in _VALUE_ALONE.finditer(text)
        if not _REFERENCE_BEFORE.search(text[max(0, match.start() - _LOOK_BACK) : match.start()])
    ]
    for test in tests:
        found += _values_of(text, test)
    return found


def _values_of(text: str, test: Found) -> Iterator[Found]:
    is_dated = _PICTURE.search(text[test.start : test.end]) and _DATE.match(text, test.end)
    match = None if is_dated else _VALUE_AFTER.match(text, test.end)
    while match:
        yield Found(match.start("value"), match.end("value"), Label.TEST_VALUE, Rule.PATTERN)
        match = _NEXT_VALUE.match(text, match.end())
    back = max(0, test.start - _LOOK_BACK)
    before = _QUALITY_BEFORE.search(text[back : test.start])
    if before is not None:
        yield Found(back + before.start("value"), back + before.end("value"), Label.TEST_VALUE, Rule.ADJACENT)


def has_value(text: str, end: int) -> bool:
    """Whether a value follows at once: what makes "K" potassium."""
    return _VALUE_AFTER.match(text, end) is not None


def find_glued(text: str) -> Iterator[Found]:
    """Vital signs and results written without a space: the test and the value of each."""
    for match in _GLUED.finditer(text):
        test, value = (name for name in match.groupdict() if match[name] is not None)
        yield Found(match.start(test), match.end(test), Label.TEST, Rule.PATTERN)
        yield Found(match.start(value), match.end(value), Label.TEST_VALUE, Rule.PATTERN)
