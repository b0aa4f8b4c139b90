"""Explicit nulls at a server that holds older data: what was nulled is gone, and nothing else is.

The judge is the snapshot: a receiver that held the whole message and gets the null must hold what the same message
without that field would have given it.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from fhir_patch import apply, comparable

from adapters.composition import make_mapper
from engine.feeds import FeedProfile
from engine.pipeline import Pipeline
from engine.records import Envelope, Kind
from engine.settings import Settings

SEGMENTS = (
    "EVN|A08|20260105081430+0800",
    (
        "PID|1||7^^^KGH^MR||Tan^Wei^^^Mr^^L|Goh^Ma|19580314|M|Tan^Ah^^^^^N|CH^Chinese^99KGH|Road 1^^Town^^000101^SGP^H"
        "||^PRN^PH^^65^^00001001|^WPN^PH^^65^^00001003|zh^Chinese^ISO639|M^Married^HL70002|BUD^Buddhist^HL70006||SSN1"
        "|D1^SGP||N^x^HL70189|Singapore||||V||20250101|||AL|20250101|KGH"
    ),
    "PD1|S^x^HL70223|A|Clinic^L^7|D7^Ho^Siew|Y|N||Y|N|N|F|Y|20260101||||||ARMY|E1|ACT",
    (
        "NK1|1|Lim^Mei|SPO^Spouse^HL70063|Road 1^^Town|^PRN^CP^^65^^00001011|^WPN^PH^^65^^9|C^Emergency^HL70131|20250101"
        "|||||Employer|||||||||||||||||Ong^Siti|^PRN^PH^^65^^00001012|Road 9^^Town"
    ),
    (
        "PV1|1|I|W52^12^03^KGH|E||W11^1^1^KGH|M1^Ong|M2^Pillai|M3^Yusof|CAR|X1^2^3^KGH|||7|||M1^Ong||V26^^^KGH^VN|FC1"
        "||||C1|20260101|100|3|||||||||01||||B||W9^9^9^KGH|W8^1^1^KGH|20260105080500+0800"
    ),
    "PV2|W7^7^7^KGH|B2^Class B2^99KGH|CP^Chest pain^99KGH|||||20260105|20260109|||From the emergency department",
    "AL1|1|DA^Drug allergy^HL70127|PCN^Penicillin^99KGH|SV^Severe^HL70128|Anaphylaxis|2011",
    "DG1|1||I20.0^Unstable angina^I10||20260105080500+0800|A|||||||||1|M1^Ong",
    (
        "IN1|1|PLAN1^Plan^99KGH|INS1|Insurer|Str 1^^Town||^WPN^PH^^65^^1|GRP1|Group|||20250101|20261231|AUTH1||Tan^Wei"
        "|SEL^Self^HL70063|19580314|Str 2^^Town|||||||||||||||||POL1"
    ),
)
KEYS = {"PID": {3}, "PV1": {2, 19}, "NK1": {2, 3}, "AL1": {3}, "DG1": {3, 6}, "IN1": {2, 3, 8, 17, 36}}
"""Fields that name what the others are about."""
KINDS = {"Patient", "Encounter", "RelatedPerson", "AllergyIntolerance", "Condition", "Coverage"}


@pytest.fixture(scope="module")
def mapper():
    return make_mapper(Settings())


def outcome(mapper, segments, policy, event="ADT^A08"):
    profile = FeedProfile(update_policy=policy)
    text = "\r".join((f"MSH|^~\\&|EMR|KGH|||20260101120000||{event}|1|P|2.5.1", *segments))
    envelope = Envelope(text.encode(), Kind.HL7V2, "f", "id", datetime(2026, 1, 1, tzinfo=UTC))
    (found,) = Pipeline(Settings(), mapper, lambda _feed: profile, "1").process(envelope)
    assert found.accepted
    return found


def resources(found):
    """What a server holds that gets this Bundle first, without what tells of the message itself."""
    entries = (e for e in found.bundle["entry"] if e["request"]["url"].partition("/")[0] in KINDS)
    return {e["request"]["url"]: e["resource"] for e in entries}


def after(found, held):
    """What a server holds behind this Bundle that held ``held`` before."""
    holds = dict(held)
    for entry in found.bundle["entry"]:
        url = entry["request"]["url"]
        if entry["request"]["method"] == "PATCH":
            holds[url] = apply(entry["resource"], holds[url])
        elif url in holds and "ifNoneMatch" not in entry["request"]:
            holds[url] = entry["resource"]
    return holds


def content(held):
    return {
        url: comparable({k: v for k, v in resource.items() if k != "meta"}) for url, resource in held.items()
    }


def with_field(segment, number, value):
    fields = segment.split("|")
    fields[number] = value
    return "|".join(fields)


def others(segment):
    """Numbers of the valued fields that name nothing; the first is a set id, but in PV2 and PD1."""
    first = 1 if segment[:3] in {"PV2", "PD1"} else 2
    keys = KEYS.get(segment[:3], ())
    return [n for n, text in enumerate(segment.split("|")) if n >= first and text and n not in keys]


FIELDS = [
    (index, number)
    for index, segment in enumerate(SEGMENTS)
    if segment[:3] != "EVN"
    for number in others(segment)
]
NAMES = [f"{SEGMENTS[index][:3]}-{number}" for index, number in FIELDS]


def nulled(index, number, value='""'):
    return [*SEGMENTS[:index], with_field(SEGMENTS[index], number, value), *SEGMENTS[index + 1 :]]


@pytest.mark.parametrize(("index", "number"), FIELDS, ids=NAMES)
def test_a_null_leaves_what_the_message_without_the_field_would_give(mapper, index, number):
    """Everything else of the message comes again; of the nulled field nothing is left."""
    held = resources(outcome(mapper, SEGMENTS, "snapshot"))
    wanted = resources(outcome(mapper, nulled(index, number, ""), "snapshot"))
    found = outcome(mapper, nulled(index, number), "auto")
    name = f"{SEGMENTS[index][:3]}-{number}"
    told = [i.location for i in found.issues if i.code == "null-not-carried"]
    assert found.cleared == (f"{name[:3]}[1]-{number}",)
    assert told == []
    assert content(after(found, held)) == content(wanted)


ALONE = [
    (index, number)
    for (index, number), name in zip(FIELDS, NAMES, strict=True)
    if name[:3] in {"PID", "PD1", "PV1", "PV2", "AL1"} and name not in {"PID-5", "PID-9", "PV1-3"}
]


@pytest.mark.parametrize(("index", "number"), ALONE, ids=[f"{SEGMENTS[i][:3]}-{n}" for i, n in ALONE])
def test_a_null_alone_leaves_all_that_the_message_does_not_speak_of(mapper, index, number):
    """A sender of changes sends keys and the null: absent is not nulled, in the same array and extension either."""
    held = resources(outcome(mapper, SEGMENTS, "snapshot"))
    wanted = resources(outcome(mapper, nulled(index, number, ""), "snapshot"))
    segment = SEGMENTS[index]
    kept = []
    for other in (SEGMENTS[1], SEGMENTS[4], *([segment] if index not in {1, 4} else [])):
        fields = other.split("|")
        keys = KEYS.get(other[:3], set())
        left = [text if n == 0 or n in keys else "" for n, text in enumerate(fields)]
        if other is segment:
            left[number] = '""'
        kept.append("|".join(left).rstrip("|"))
    found = outcome(mapper, ["EVN|A08|20260105081430+0800", *kept], "merge")
    assert [i for i in found.issues if i.code == "null-not-carried"] == []
    assert content(after(found, held)) == content(wanted)


@pytest.mark.parametrize("number", [4, 5, 6, 31, 32])
def test_a_null_of_the_next_of_kin_leaves_the_contact_person(mapper, number):
    """NK1-4 and -5 are the kin's own, NK1-31 and -32 their contact person's: one array, told apart by a mark."""
    held = resources(outcome(mapper, SEGMENTS, "snapshot"))
    wanted = resources(outcome(mapper, nulled(3, number, ""), "snapshot"))
    keys = [text if n in {0, 2, 3} else "" for n, text in enumerate(SEGMENTS[3].split("|"))]
    keys[number] = '""'
    found = outcome(mapper, ["EVN|A08|20260101", "PID|1||7^^^KGH^MR", "|".join(keys)], "merge")
    assert [i for i in found.issues if i.code == "null-not-carried"] == []
    (url,) = (u for u in held if u.startswith("RelatedPerson/"))
    left = after(found, held)[url]
    for name in ("address", "telecom"):
        assert left.get(name) == wanted[url].get(name)


def test_the_end_of_a_stay_in_a_bed_leaves_its_other_places(mapper):
    """PV1-3 null: the bed of now goes, whatever row of the table comes first."""
    held = resources(outcome(mapper, SEGMENTS, "snapshot"))
    keys = [text if n in {0, *KEYS["PV1"]} else "" for n, text in enumerate(SEGMENTS[4].split("|"))]
    keys[3] = '""'
    found = outcome(mapper, ["EVN|A08|20260101", "PID|1||7^^^KGH^MR", "|".join(keys)], "merge")
    (url,) = (u for u in held if u.startswith("Encounter/"))
    before, now = ({str(p) for p in h[url]["location"]} for h in (held, after(found, held)))
    assert now < before
    assert [p for p in held[url]["location"] if str(p) not in now] == [held[url]["location"][0]]


def test_the_county_goes_and_its_address_stays(mapper):
    """PID-12 is a part of an address that PID-11 told of."""
    before = outcome(mapper, ["PID|1||7^^^KGH^MR||||||||Road 1^^Town|North"], "snapshot")
    held = after(outcome(mapper, ['PID|1||7^^^KGH^MR|||||||||""'], "auto"), resources(before))
    (patient,) = (r for r in held.values() if r["resourceType"] == "Patient")
    assert patient["address"] == [{"line": ["Road 1"], "city": "Town"}]


@pytest.mark.parametrize("address", ['Road 1^""^Town', '""~Road 1^^Town', "Road 1^^Town"])
def test_a_null_in_a_part_is_a_change_like_one_of_the_whole(mapper, address):
    """One component nulled makes the message an update with nulls: the birth date, absent, stays."""
    before = outcome(mapper, ["PID|1||7^^^KGH^MR||||19580314||||Road 1^Floor 2^Town"], "snapshot")
    found = outcome(mapper, [f"PID|1||7^^^KGH^MR||||||||{address}"], "auto")
    held = after(found, resources(before))
    (patient,) = (r for r in held.values() if r["resourceType"] == "Patient")
    assert patient["address"] == [{"line": ["Road 1"], "city": "Town"}]
    assert ("birthDate" in patient) is ('""' in address)
    assert not [i for i in found.issues if i.code == "null-not-carried"]


@pytest.mark.parametrize(
    ("event", "policy", "segments", "location", "says"),
    [
        ("ADT^A08", "auto", ['PID|1||7^^^KGH^MR||""'], "PID[1]-5", "no one FHIR element"),
        ("ADT^A08", "auto", ['PID|1||7^^^KGH^MR~""'], "PID[1]-3[2]", "no one FHIR element"),
        ("ADT^A08", "auto", ["PID|1||7^^^KGH^MR", 'PV1|1|I|""'], "PV1[1]-3", "no number"),
        ("ADT^A08", "auto", ["PID|1||7^^^KGH^MR", 'NK1|1|""|""|""'], "NK1[1]-4", "makes nothing"),
        ("ADT^A08", "auto", ["PID|1||7^^^KGH^MR", 'ZPI|1|""'], "ZPI[1]-2", "no rule"),
        (
            "ORU^R01",
            "auto",
            ['PID|1||7^^^KGH^MR||||""', "OBR|1||F1|A", "OBX|1|ST|A||x||||||F"],
            "PID[1]-7",
            "no ADT",
        ),
    ],
)
def test_a_null_that_clears_nothing_is_told(mapper, event, policy, segments, location, says):
    """``cleared`` says what the sender wanted; the issue says that the receiver still holds it, and why."""
    found = outcome(mapper, segments, policy, event)
    assert location in found.cleared
    (told,) = [i for i in found.issues if i.code == "null-not-carried" and i.location == location]
    assert says in told.message


@pytest.mark.parametrize(
    ("event", "policy"), [("ADT^A08", "snapshot"), ("ADT^A01", "auto"), ("ORU^R01", "snapshot")]
)
def test_where_the_whole_resource_is_written_every_null_is_carried(mapper, event, policy):
    """A PUT without the element clears it: there is nothing to tell."""
    found = outcome(mapper, ['PID|1|""|7^^^KGH^MR||""||""', 'PV1|1|I|""||||||||||||||||V1'], policy, event)
    assert len(found.cleared) == 4
    assert not [i for i in found.issues if i.code == "null-not-carried"]


def test_a_temporary_place_is_told_from_the_bed(mapper):
    """PV1-11 is a place of its own kind: ending it must not end the stay in the bed."""
    found = outcome(mapper, [SEGMENTS[1], SEGMENTS[4]], "snapshot")
    (visit,) = (r for url, r in resources(found).items() if url.startswith("Encounter/"))
    kinds = [
        e["valueCodeableConcept"]["coding"][0]["code"]
        for place in visit["location"]
        for e in place.get("extension", ())
        if e["url"].endswith("subject-locationClassification")
    ]
    assert kinds == ["temporary", "temporary"]


@pytest.mark.parametrize("policy", ["auto", "merge", "snapshot"])
def test_a37_takes_back_the_link_that_a24_made(mapper, policy):
    """As a whole the patients come without the link; as a patch it is deleted, and a link to another record is kept."""
    pair = ("EVN|A24|20260105", "PID|1||7^^^KGH^MR||Tan^Wei", "PID|2||8^^^KGH^MR||Tan^W")
    held = resources(outcome(mapper, pair, "snapshot", "ADT^A24"))
    first, second = sorted(held)
    third = {"other": {"reference": "Patient/third"}, "type": "seealso"}
    held[first]["link"].append(third)
    left = after(outcome(mapper, pair, policy, "ADT^A37"), held)
    assert "link" not in left[second]
    assert left[first].get("link") == ([third] if policy == "merge" else None)


def test_a_new_doctor_does_not_take_the_clinic_away(mapper):
    """PD1-4 alone, merged: the clinic of PD1-3 stays."""
    pid = "PID|1||7^^^KGH^MR||Tan^Wei"
    held = resources(outcome(mapper, ("EVN|A08|20260105", pid, "PD1|||Clinic^L^7|D7^Ho^Siew"), "snapshot"))
    left = after(outcome(mapper, ("EVN|A08|20260105", pid, "PD1||||D8^Nair^Arun"), "merge"), held)
    (url,) = [u for u in left if u.startswith("Patient/")]
    kinds = [r["reference"].partition("/")[0] for r in left[url]["generalPractitioner"]]
    assert sorted(kinds) == ["Organization", "Practitioner"]
    assert left[url]["generalPractitioner"] != held[url]["generalPractitioner"]
