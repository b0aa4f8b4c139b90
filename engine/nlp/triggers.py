"""The words that tell how a finding is meant, as a table: what they mean and how far they reach.

After ConText (Harkema et al., J Biomed Inform 2009) and NegEx (Chapman et al., 2001), with the shorthand
of Singapore wards. A longer phrase wins over a shorter one at the same place, which is how pseudo-triggers
work: "no increase" is found before "no" and means nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, auto

from engine.nlp.phrases import PhraseTable
from engine.records import Label


class Meaning(StrEnum):
    """What a trigger says of the findings it reaches."""

    NEGATED = auto()
    POSSIBLE = auto()
    HYPOTHETICAL = auto()
    HISTORICAL = auto()
    FAMILY = auto()
    ALLERGY = auto()
    STOP = auto()  # ends the reach of others: "no fever but cough"
    PATIENT = auto()  # ends the reach of a relative: "mother has DM, patient has HTN"
    NOTHING = auto()  # a pseudo-trigger: looks like one of the above and is not


class Reach(StrEnum):
    """Where the findings stand that a trigger speaks of."""

    CLAUSE = auto()  # after it, to the end of the clause
    NEAR = auto()  # after it, a few words, not past a comma
    NEXT = auto()  # after it, at once or past one word
    ITEM = auto()  # before it, back to the last comma
    LIST = auto()  # before it, back to the start of the clause: "PE, DVT and MI were ruled out"
    TOUCHING = auto()  # before it, at once, at most a bracket between: "DVT prophylaxis", "DM (mother)"
    EITHER = auto()  # CLAUSE if a word follows at once, else ITEM: "nil SOB", "SOB nil"
    MARK = auto()  # a question mark: of what it is written against, "?PE", "PE?"
    AROUND = auto()  # ITEM if a finding stands at once before it, else CLAUSE: "PE unlikely", "unlikely PE"


@dataclass(frozen=True, slots=True)
class Trigger:
    """One row of the table, for one phrase.

    Attributes:
        meaning, reach: see there.
        labels: the labels it can be said of; empty: all.
        kin: HL7 v3-RoleCode of the relative, for FAMILY.
    """

    meaning: Meaning
    reach: Reach = Reach.CLAUSE
    labels: frozenset[Label] = frozenset()
    kin: str = ""


_THINGS = frozenset((Label.PROBLEM, Label.MEDICATION, Label.PROCEDURE))
_PROBLEMS = frozenset((Label.PROBLEM,))
_MEDICATIONS = frozenset((Label.MEDICATION,))
_ACTS = frozenset((Label.TEST, Label.PROCEDURE, Label.MEDICATION))
_ANY: frozenset[Label] = frozenset()

# (meaning, reach, labels): phrases, split at "|".
TABLE: tuple[tuple[Meaning, Reach, frozenset[Label], str], ...] = (
    (
        Meaning.NEGATED, Reach.CLAUSE, _ANY,
        "no evidence of|no e/o|no sign of|no signs of|no signs or symptoms of|no symptoms of|no features of"
        "|no history of|no hx of|no h/o|no known history of|no past history of|no known|no prior history of"
        "|no previous history of|no complaint of|no complaints of|no c/o|nil c/o|nil complaints of|no suggestion of"
        "|no significant|no definite|no obvious|no gross|no clinical|no focal|no evident|no new onset|nil e/o"
        "|denies|denies any|denied any|denies having|denied having|denying|denies history of|denies hx of"
        "|without|without any|w/o|without evidence of|absence of|lack of|lacks|free of|free from|rules out|never had|never"
        "|did not have|does not have|do not have|didn't have|doesn't have|don't have|not have|has not had"
        "|have not had|not having|has no|have no|had no|with no|fails to reveal|failed to reveal|did not reveal"
        "|does not reveal|did not show|does not show|not show|shows no|showed no|reveals no|revealed no"
        "|did not demonstrate|unremarkable for|negative for|neg for|-ve for|no family history of"
        "|no family hx of|no fhx of|no fh of|nor|neither|did not take|not taking|not on|has not taken"
        "|not started on|not given|not require|did not require|not requiring|did not undergo|not undergone"
        "|not known to have|has never had|no reports of|no episodes of|no episode of|no further episodes of|no recurrence of"
        "|no residual|no associated|not associated with|no other|no acute|no active|ruled out for|tidak ada|tiada|takde|tak ada",
    ),
    (Meaning.NEGATED, Reach.EITHER, _ANY, "no|nil|denied"),
    (Meaning.NEGATED, Reach.NEXT, _ANY, "没有|沒有|没|無|无"),
    (Meaning.NEGATED, Reach.TOUCHING, _ANY, "illai|இல்லை"),
    (Meaning.NEGATED, Reach.NEAR, _ANY, "not|non|cannot see"),
    (Meaning.NEGATED, Reach.AROUND, _THINGS, "ruled out|excluded|has ruled out|has excluded"),
    (
        Meaning.NEGATED, Reach.ITEM, _PROBLEMS,
        "negative|neg|ve|is negative|was negative|tested negative|none",
    ),
    (
        Meaning.NEGATED, Reach.ITEM, _ANY,
        "absent|is absent|was absent|not present|not seen|not detected|not noted|not found|not identified"
        "|not demonstrated|not visualised|not visualized|not evident|not apparent|not observed|not reported|was ruled out"
        "|is ruled out|been ruled out|be ruled out|was excluded|is excluded|been excluded|not done|not performed"
        "|not given|not started|not taken|was not seen|was denied|not felt|not elicited",
    ),
    (
        Meaning.NEGATED, Reach.LIST, _ANY,
        "were ruled out|are ruled out|all ruled out|were excluded|were absent|are absent|were negative"
        "|were denied|were not seen|were not present|are not present|were not detected|were not found|all negative"
        "|all absent|all denied|were not performed|were not done|were not given",
    ),
    (
        Meaning.POSSIBLE, Reach.CLAUSE, _THINGS,
        "possibly|possibility of|probable|probably|suspect|suspecting"
        "|suspicious for|suspicious of|suspicion of|suspicion for|query|queried|cannot exclude|can not exclude|can't exclude"
        "|unable to exclude|could not exclude|cannot rule out|can not rule out|can't rule out|could be|can be|may be|maybe"
        "|may have|might be|might have|may represent|could represent|concern for|concerning for|concern of|concerns of"
        "|worried about|worry about|tro|to rule out|r/o|rule out|need to rule out|to exclude|ddx|ddx includes|differential includes"
        "|differentials include|differential diagnosis includes|differential of|differentials of|suggestive of|suggests"
        "|suggesting|may suggest|presumed|presumptive|presumably|questionable|unlikely to be|unlikely to have|less likely"
        "|low suspicion for|low suspicion of|not ruled out for|no definite evidence of|equivocal for|workup for|work up for"
        "|worked up for|being worked up for|unsure if|uncertain if|mungkin",
    ),
    (Meaning.POSSIBLE, Reach.AROUND, _THINGS, "possible|likely|most likely|more likely|suspected|unlikely|queried|versus|vs"),
    (Meaning.POSSIBLE, Reach.NEAR, _PROBLEMS, "consider|considered|considering"),
    (Meaning.POSSIBLE, Reach.TOUCHING, _THINGS, "versus|vs"),
    (Meaning.POSSIBLE, Reach.MARK, _THINGS, "?"),
    (
        Meaning.POSSIBLE, Reach.ITEM, _THINGS,
        "is unlikely|was unlikely|is likely|is most likely|is possible|is suspected|was suspected"
        "|is probable|not excluded|cannot be excluded|can not be excluded|can't be excluded|could not be excluded"
        "|not ruled out|cannot be ruled out|can not be ruled out|has not been excluded|not be excluded|not be ruled out"
        "|has not been ruled out|not been ruled out|yet to be excluded|is considered|was considered|to be ruled out"
        "|to be excluded|less likely|is less likely",
    ),
    (Meaning.POSSIBLE, Reach.LIST, _THINGS, "are possible|were considered|are likely|are unlikely|were suspected"),
    (
        Meaning.HYPOTHETICAL, Reach.CLAUSE, _ANY,
        "if|if there is|if he|if she|if any|unless|should he|should she|should they|should the patient|should there be"
        "|should symptoms|in case of|in the event of|kiv|keep in view|k.i.v|risk of|risks of|at risk for|at risk of"
        "|high risk of|high risk for|risk for|risk factors for|risk factor for|to prevent|preventing|prevention of"
        "|prophylaxis for|prophylaxis against|watch for|watch out for|look out for|monitor for|monitor"
        "|to monitor for|monitoring for|observe for|to look out for|screen for|screening for|to screen for|return if"
        "|return for|return to ed if|prn for|when required for|as needed for|if needed for|for relief of|to consider"
        "|will need|would need|plan for|plan to|planned for|plans for|scheduled for|listed for|awaiting|await"
        "|pending|to start|to arrange|to repeat|to add|to give|to send|to check|to trace|to book|to refer for|to do|for consideration of"
        "|warned about|warned of|educated on|counselled on|counseled on|advised on|advised to watch for|until"
        "|option of|options include|consent for|consented for|consented to|offered"
        "|declined|refused|keen for|not keen for|agreeable for|early tcu if|kalau|jika",
    ),
    (Meaning.HYPOTHETICAL, Reach.NEAR, _ACTS, "consider|considered|considering"),
    (Meaning.HYPOTHETICAL, Reach.TOUCHING, _PROBLEMS, "prophylaxis|risk|precaution|screen|screening|surveillance|score|pathway"),
    (Meaning.HYPOTHETICAL, Reach.ITEM, _ACTS, "is planned|planned|is pending|pending|is scheduled|awaited|to follow|declined|refused"),
    (Meaning.HISTORICAL, Reach.CLAUSE, _ANY, "history of|hx of|h/o|history significant for|past history of|past hx of"
        "|past medical history of|pmh of|pmhx of|medical history of|known history of|known hx of|background of|bg of"
        "|background history of|history is significant for|history notable for|history includes|pmh includes"
        "|past medical history significant for|past medical history includes|significant history of|status post|s/p"
        "|personal history of|previously had|used to have|previously diagnosed with|history remarkable for|no longer has|no longer have|no longer having|no longer|no longer on"),
    (Meaning.HISTORICAL, Reach.NEAR, _ANY, "previous|previously|prior|past|old|remote|healed|childhood|post|former|recovered from"),
    (Meaning.HISTORICAL, Reach.NEXT, _MEDICATIONS, "stopped|discontinued|off|ceased|stopped taking|completed|finished|withheld"),
    (
        Meaning.HISTORICAL, Reach.ITEM, _ANY,
        "years ago|year ago|yrs ago|yr ago|in the past|in childhood|as a child|resolved|has resolved|have resolved"
        "|now resolved|since resolved|had resolved|in remission|long ago|decades ago|previously|when young",
    ),
    (Meaning.HISTORICAL, Reach.ITEM, _MEDICATIONS, "stopped|was stopped|discontinued|was discontinued|ceased|has been stopped|completed|previously"),
    (Meaning.FAMILY, Reach.CLAUSE, _ANY, "family history of|family hx of|fhx of|fh of|fhx|fh|famhx|family history is significant for"
        "|family history significant for|family history includes|family history notable for|runs in the family|strong family history of"
        "|familial history of|family history"),
    (Meaning.FAMILY, Reach.ITEM, _ANY, "in the family|in family|runs in family|in family members"),
    (
        Meaning.ALLERGY, Reach.CLAUSE, _ANY,
        "allergic to|allergy to|allergies to|drug allergy to|drug allergies to|intolerant to|intolerant of"
        "|hypersensitive to|hypersensitivity to|adr to|adverse reaction to|anaphylaxis to|anaphylactic to|reaction to|allergic reaction to|allergies",
    ),
    (Meaning.ALLERGY, Reach.ITEM, _MEDICATIONS, "allergy|allergies|allergic reaction|anaphylaxis"),
    (
        Meaning.STOP, Reach.CLAUSE, _ANY,
        "but|however|although|though|except|except for|apart from|aside from|besides|otherwise|which|who|whom|secondary to|due to"
        "|because|because of|as a cause of|as the cause of|cause of|causes of|source of|reason for|still|yet|now|then|presents with"
        "|presenting with|presented with|presents|presented|p/w|complains of|complained of|complaining of|complains|complained|c/o"
        "|reports|reported|reporting|has|have|had|having|developed|develops|started|started on|commenced|commenced on|given|admitted with"
        "|admitted for|referred for|came with|comes in with|for which|treated with|managed with|continue|continued|continues"
        "|, on|; on|. on|, with|positive for|+ve for|does have|did have|found to have|noted to have|;|→|>|, also|, noted|reveals|revealed|showed|shows"
        "|currently|currently on|was noted|were noted|tapi",
    ),
    (Meaning.PATIENT, Reach.CLAUSE, _ANY, "patient|pt|he|she|himself|herself|his own|her own|baby|child"),
    (
        Meaning.NOTHING, Reach.CLAUSE, _ANY,
        "no increase|no increase in|no decrease|no decrease in|no change|no changes|no change in|no significant change|no interval change"
        "|no significant interval change|no further|no new|no worsening|no worsening of|no worsening in|no improvement"
        "|no improvement in|not improved|not improving|not better|not resolved|not resolving|no significant improvement|without improvement"
        "|without change|without difficulty|not only|not just|not necessarily|not certain|not certain if|not certain whether|not sure|no doubt"
        "|gram negative|gram neg|gram -ve|rh negative|rhesus negative|no cause|no cause of|no cause for|no source of|nil by mouth|not keen"
        "|no relief with|no relief from|not relieved by|not relieved with|no response to|not responding to|not responsive to|no effect from"
        "|not compliant|not compliant to|not compliant with|non compliant|non compliant to|non compliant with|non adherent to"
        "|not controlled|not well controlled|poorly controlled|not optimised|not tolerating|not tolerate|no longer tolerating"
        "|not well|not well for|history taken|history taken from|history obtained|history obtained from|history from|history taking"
        "|history of present illness|history of presenting illness|history of presenting complaint|unknown history"
        "|past week|past weeks|past month|past months|past day|past days|past few|past couple|past 1|past 2|past 3|past 4|past 5|past 6|past 7"
        "|past year|past years|past one|past two|past three|past 24|past 48|previous admission|previous admissions|previous clinic|previous visit"
        "|previous note|previous notes|previous scan|previous ct|previous x ray|previous cxr|prior to|prior to admission"
        "|prior study|prior scan|prior exam|compared to previous|compared with previous|old man|old lady|old woman|old male|old female"
        "|old gentleman|old boy|old girl|year old|years old|yr old|old chinese|old malay|old indian|old notes|as if|even if|ask if"
        "|asked if|see if|check if|if possible|if any issues|post op|post operative|post operatively|post prandial|post meal|post meals"
        "|post void|post natal|post natally|post partum|risk factors|risk assessment|likely to|no fewer|no less|none the less|nonetheless"
        "|not for resus|not for cpr|with or without|now on|monitor vitals|still has|still have|family physician|family doctor|family meeting|family members"
        "|family updated|family informed|family conference|family clinic|family dr|may 1|may 2|on discharge|+ve|++ve"
        "|diagnosed in",
    ),
)  # fmt: skip

# Relatives: HL7 v3-RoleCode (FamilyMember): the words for them.
KIN: dict[str, str] = {
    "MTH": "mother|mum|mom|mummy|ibu",
    "FTH": "father|dad|bapa",
    "PRN": "parent|parents|either parent|both parents",
    "BRO": "brother|brothers|elder brother|younger brother",
    "SIS": "sister|sisters|elder sister|younger sister",
    "SIB": "sibling|siblings",
    "SONC": "son|sons",
    "DAUC": "daughter|daughters",
    "CHILD": "children",
    "GRMTH": "grandmother|grandma",
    "GRFTH": "grandfather|grandpa",
    "GRPRN": "grandparent|grandparents",
    "MGRMTH": "maternal grandmother",
    "MGRFTH": "maternal grandfather",
    "PGRMTH": "paternal grandmother",
    "PGRFTH": "paternal grandfather",
    "AUNT": "aunt|aunts|auntie",
    "MAUNT": "maternal aunt|maternal aunts",
    "PAUNT": "paternal aunt|paternal aunts",
    "UNCLE": "uncle|uncles",
    "MUNCLE": "maternal uncle|maternal uncles",
    "PUNCLE": "paternal uncle|paternal uncles",
    "COUSN": "cousin|cousins",
    "NEPHEW": "nephew",
    "NIECE": "niece",
    "WIFE": "wife",
    "HUSB": "husband",
    "FAMMEMB": "a relative|family member|first degree relative|second degree relative",
}

# A relative who tells, brings or lives with the patient has no disease by that.
_TELLS = (
    "reports", "reported", "says", "said", "states", "stated", "noticed", "noted", "notes", "observed", "denies", "denied", "claims",
    "claimed", "describes", "brought", "thinks", "feels", "felt", "concerned", "worried", "gave", "gives", "found", "called",
    "informed", "updated", "saw", "present", "at bedside", "is caregiver", "as caregiver", "helps", "accompanied", "mentions",
)  # fmt: skip
_WITH_KIN = (
    "lives with", "living with", "stays with", "staying with", "brought in by", "accompanied by", "informed", "spoke to",
    "spoke with", "discussed with", "updated", "history from", "as reported by", "according to", "per", "as per", "bib",
    "main caregiver", "nok", "next of kin", "by", "contact", "called", "care of",
)  # fmt: skip
_POSSESSIVE = ("", "his ", "her ", "the ", "patient's ", "pt's ")


# "MI in 2009" is history; "diagnosed in 2009" is how long a disease has been there.
_YEARS = range(1940, 2050)


def trigger_table() -> PhraseTable[tuple[Trigger, ...]]:
    """The tables above, ready to search. A phrase that stands in several rows has them all."""
    rows: dict[str, list[Trigger]] = {}
    for meaning, reach, labels, phrases in TABLE:
        for phrase in phrases.split("|"):
            rows.setdefault(phrase, []).append(Trigger(meaning, reach, labels))
    for kin, words in KIN.items():
        for word in words.split("|"):
            _add_relative(rows, kin, word)
    for year in _YEARS:
        rows[f"in {year}"] = [Trigger(Meaning.HISTORICAL, Reach.ITEM, _PROBLEMS | {Label.PROCEDURE})]
        rows[f"diagnosed in {year}"] = [Trigger(Meaning.NOTHING)]
    return PhraseTable((phrase, tuple(triggers)) for phrase, triggers in rows.items())


def _add_relative(rows: dict[str, list[Trigger]], kin: str, word: str) -> None:
    nothing = [Trigger(Meaning.NOTHING)]
    rows[word] = [
        Trigger(Meaning.FAMILY, Reach.CLAUSE, kin=kin),
        Trigger(Meaning.FAMILY, Reach.TOUCHING, kin=kin),
    ]
    for owner in _POSSESSIVE:
        rows[f"in {owner}{word}"] = [Trigger(Meaning.FAMILY, Reach.ITEM, kin=kin)]
        rows.update({f"{phrase} {owner}{word}": nothing for phrase in _WITH_KIN})
    rows.update({f"{word} {verb}": nothing for verb in _TELLS})
