"""Feed profiles: what a site says about a sender, and how faults in it are told."""

from __future__ import annotations

import os
import pickle
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.composition import Profiles, make_intake, make_mapper, make_pipeline
from adapters.feed_profiles import load_profile, load_profiles
from engine.errors import SettingsError
from engine.feeds import FeedProfile
from engine.hl7v2 import er7, message_profile
from engine.records import Envelope, Kind
from engine.settings import Settings


def write(folder: Path, text: str, name: str = "lab.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_profile_is_named_by_its_file(tmp_path):
    """One file a feed, nothing to keep in step."""
    write(tmp_path, "timezone: Europe/Berlin\nfallback_charset: 8859/1\n")
    assert load_profiles(tmp_path)["lab"].timezone == "Europe/Berlin"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("timezone: Asia/Singapore\ncharset_policy: guess\n", 2, "repair or refuse"),
        ("timezone: Mars/Olympus\n", 1, "no time zone"),
        ("fallback_charset: KLINGON\n", 1, "table 0211"),
        ("timezone: UTC\n\ncolour: blue\n", 3, "timezone"),
        ("authorities:\n  KGH: nowhere\n", 2, "absolute URI"),
        ("authorities:\n  KGH: urn:a\n  LAB: 12\n", 3, "a name and an absolute URI a line"),
        ("authorities:\n  KGH: urn:a\n  KGH: urn:b\n", 3, "first is in line 2"),
        ("authorities: KGH\n", 1, "names were expected"),
        ("coding_systems:\n  12: urn:a\n", 2, "text was expected"),
        ("timezone: UTC\ntime_zone: UTC\n", 2, "Did you mean timezone"),
        ("timezone: Asia\n", 1, "Asia/Singapore"),
        ("timezone: '+08:00'\n", 1, "IANA"),
        ("timezone: 8\n", 1, "in quotes"),
        ("timezone:\n", 1, "text was expected"),
        ("timezone: !!python/name:os.system x\n", 1, "Allowed"),
        ("authorities: &a\n  A: *a\n", 1, "can't be read"),
        ("timezone: UTC\nauthorities:\n\tKGH: urn:a\n", 3, "Indent with blanks"),
        ("name: ''\n", 1, "empty"),
        ("expected_sender: LIS\n", 1, "'LIS|KGH'"),
        ("strictness: lenient\nmessage_profile: none.xml\n", 2, "No such file"),
        ("timezone: UTC\nstrictness: 'x\x07'\n", 2, "control character"),
        ("? [a, b]\n: c\n", 1, "a word"),
        ("strictness: x\ntimezone: Mars\n", 1, "off or lenient or strict"),
        ("timezone: UTC\ntimezone: UTC\n", 2, "first is in line 1"),
        ("a: [1\n", 2, "syntax"),
        ("- 1\n", 1, "Write"),
        ("strictness: severe\n", 1, "off or lenient or strict"),
    ],
)
def test_faults_name_file_line_and_what_is_allowed(tmp_path, text, line, says):
    """Whoever wrote the profile can mend it without reading code."""
    path = write(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load_profile(path)
    assert caught.value.location == f"{path}:{line}"
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "content",
    ["# Müller\ntimezone: 新加坡\n".encode("latin-1", "replace") + b"x: \xe9\n", "a: b".encode("utf-16")],
)
def test_a_profile_in_another_encoding_is_told_with_its_line(tmp_path, content):
    """An editor's choice must not look like a wrong setting."""
    path = tmp_path / "lab.yaml"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match="UTF-8") as caught:
        load_profile(path)
    assert caught.value.location in {f"{path}:3", f"{path}:1"}


def test_a_folder_named_like_a_profile_is_told(tmp_path):
    """What can't be read is no reason for a traceback."""
    (tmp_path / "lab.yaml").mkdir()
    with pytest.raises(SettingsError, match="can't be read"):
        load_profiles(tmp_path)


@pytest.mark.parametrize("name", ["nope", "file"])
def test_a_folder_that_was_named_and_is_none_is_told(tmp_path, name):
    """A mistyped folder would leave every feed with the defaults, and nobody would know."""
    (tmp_path / "file").write_text("timezone: UTC\n")
    with pytest.raises(SettingsError, match="WARDSTREAM_FEEDS"):
        Profiles(Settings(feeds=str(tmp_path / name)))


def test_a_profile_without_a_zone_has_the_sites(tmp_path):
    """A profile that only names a character set must not move the feed to Singapore."""
    write(tmp_path, "fallback_charset: 8859/1\n")
    assert (
        Profiles(Settings(timezone="Europe/Berlin", feeds=str(tmp_path)))("lab").timezone == "Europe/Berlin"
    )


@pytest.mark.parametrize(
    ("zone", "local", "expected", "doubt"),
    [
        ("Europe/London", "20240331013000", "2024-03-31T01:30:00Z", "gap"),
        ("Europe/London", "20241027013000", "2024-10-27T01:30:00+01:00", "overlap"),
        ("America/New_York", "20240310023000", "2024-03-10T02:30:00-05:00", "gap"),
        ("America/New_York", "20241103013000", "2024-11-03T01:30:00-04:00", "overlap"),
        ("Australia/Lord_Howe", "20241006021500", "2024-10-06T02:15:00+10:30", "gap"),
        ("Australia/Lord_Howe", "20240407014500", "2024-04-07T01:45:00+11:00", "overlap"),
        ("Asia/Singapore", "20240310023000", "2024-03-10T02:30:00+08:00", ""),
    ],
)
def test_hours_that_a_clock_change_made_doubtful_are_told(convert, zone, local, expected, doubt):
    """An hour that was twice, or never, gets one stated meaning, and the report says so at its place."""
    found = convert(
        f"fallback_charset: 8859/1\ntimezone: {zone}\n", ADT.replace("20260101120000\r", f"{local}\r")
    )
    by_type = {e["resource"]["resourceType"]: e["resource"] for e in found.bundle["entry"]}
    start = datetime.fromisoformat(by_type["Encounter"]["period"]["start"])
    assert start == datetime.fromisoformat(expected)
    assert start.utcoffset() == datetime.fromisoformat(expected).utcoffset()
    told = [i for i in found.issues if "daylight saving" in i.message]
    assert [i.location for i in told] == (["PV1[1]-44"] if doubt else [])
    assert all(doubt in i.message for i in told)


PROFILE = """<HL7v2xConformanceProfile><HL7v2xStaticDef MsgType="ADT" EventType="A01" MsgStructID="ADT_A01">
  <Segment Name="MSH" Usage="R" Min="1" Max="1">{msh}</Segment>
  <Segment Name="PID" Usage="R" Min="1" Max="1">
    <Field Name="Set ID" Usage="O" Min="0" Max="1" Datatype="SI"/>
    <Field Name="Patient ID" Usage="X" Datatype="CX"/>
    <Field Name="Identifiers" Usage="R" Min="1" Max="1" Datatype="CX" Length="12">
      <Component Name="ID" Usage="R" Datatype="ST"/>
    </Field>
  </Segment>
  <Segment Name="PV1" Usage="R" Min="1" Max="1"/>
  <Segment Name="EVN" Usage="X"/>
  <SegGroup Name="INSURANCE" Usage="R" Min="1" Max="1"><Segment Name="IN1" Usage="R" Min="1" Max="1"/></SegGroup>
</HL7v2xStaticDef></HL7v2xConformanceProfile>""".format(
    msh='<Field Name="x" Usage="O" Min="0" Max="1" Datatype="ST"/>' * 12
)


@pytest.mark.parametrize("form", ["xml", "hl7apy"])
def test_a_message_profile_is_what_a_feed_is_held_against(convert, tmp_path, form):
    """What was agreed counts: other cardinalities, lengths, segments and groups than the version's."""
    (tmp_path / "agreed.xml").write_text(PROFILE)
    if form == "hl7apy":  # what hl7apy_profile_parser would write
        structures = message_profile._from_xml(PROFILE.encode())
        (tmp_path / "agreed.xml").write_bytes(pickle.dumps(structures, protocol=2))
    found = convert(
        "fallback_charset: 8859/1\nstrictness: lenient\nmessage_profile: agreed.xml\n",
        ADT.replace("PID|1||7^^^KGH^MR", "PID|1|6|7^^^KGH^MR~1234567890123"),
    )
    told = {(i.code, i.location) for i in found.issues if i.code.startswith("conformance")}
    assert told >= {
        ("conformance-198", "EVN[1]"),
        ("conformance-198", "PID[1]-2"),
        ("conformance-198", "PID[1]-3"),
        ("conformance-104", "PID[1]-3"),
        ("conformance-100", "MSH[1]"),
    }
    assert ("conformance-101", "PID[1]-5") not in told


def test_a_message_of_another_structure_is_held_against_the_version(convert, tmp_path):
    """A profile of admissions says nothing of discharges, and the report says so."""
    (tmp_path / "agreed.xml").write_text(PROFILE)
    found = convert(
        "fallback_charset: 8859/1\nstrictness: strict\nmessage_profile: agreed.xml\n",
        ADT.replace("A01", "A03"),
    )
    assert found.accepted
    assert "is for ADT_A01" in next(i.message for i in found.issues if i.code == "conformance-199")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "neither XML nor"),
        (b"hello", "neither XML nor"),
        (b"<a><b></a>", "line 1, column"),
        (b"<a/>", "HL7v2xStaticDef"),
        (PROFILE.replace('Name="PV1"', "").encode(), "ADT_A01: a Segment has no Name"),
        (PROFILE.replace('Max="1" Datatype="SI"', 'Max="many" Datatype="SI"').encode(), "ADT_A01.PID-1"),
        (PROFILE.replace('Length="12"', 'Length="long"').encode(), "ADT_A01.PID-3: the length 'long'"),
        (pickle.dumps(os.getcwd), "holds code"),
        (pickle.dumps({}), "no message structure"),
        (pickle.dumps({"ADT_A01": ("sequence", (("PID", ("sequence", ()), (2, 1), "SEG"),))}), "ADT_A01.PID"),
        (
            pickle.dumps(
                {
                    "ADT_A01": (
                        "sequence",
                        (("PID", ("sequence", (("PID_1", ("leaf",), (0, 1), "FIE"),)), (0, 1), "SEG"),),
                    )
                }
            ),
            "PID_1",
        ),
    ],
)
def test_a_broken_message_profile_is_refused_at_start(tmp_path, content, says):
    """Before the first message, with the line that names it: not as one dead letter for each message."""
    (tmp_path / "agreed").write_bytes(content)
    path = write(tmp_path, "strictness: lenient\nmessage_profile: agreed\n")
    with pytest.raises(SettingsError) as caught:
        load_profiles(tmp_path)
    assert caught.value.location == f"{path}:2"
    assert says in str(caught.value)


def test_a_strict_refusal_tells_every_error(convert):
    """A sender's engineer mends all of them at once, not one a day."""
    bad = ADT.replace("19800101", "yesterday").replace("PV1|1|I", "PV1|one|")
    found = convert("fallback_charset: 8859/1\nstrictness: strict\n", bad)
    assert not found.accepted
    assert {i.location for i in found.issues if i.severity == "error"} >= {
        "PID[1]-7[1].1",
        "PV1[1]-1",
        "PV1[1]-2",
    }


def test_two_files_of_one_feed_are_refused(tmp_path):
    """Nobody has to guess which one counts."""
    write(tmp_path, "name: lab\n", "a.yaml")
    write(tmp_path, "name: lab\n", "b.yaml")
    with pytest.raises(SettingsError, match="Two profiles"):
        load_profiles(tmp_path)


@pytest.fixture
def convert(tmp_path):
    def run(profile: str, text: str):
        write(tmp_path, profile)
        settings = Settings(feeds=str(tmp_path))
        envelope = Envelope(text.encode("latin-1"), Kind.HL7V2, "lab", "id", datetime(2026, 1, 1, tzinfo=UTC))
        return make_pipeline(settings).process(envelope)[0]

    return run


ADT = "MSH|^~\\&|EMR|KGH|||20260101120000||ADT^A01^ADT_A01|C1|P|2.5.1\rEVN|A01|20260101\rPID|1||7^^^KGH^MR||Müller^A||19800101|F\rPV1|1|I||||||||||||||||||||||||||||||||||||||||||20260101120000\r"


def test_profile_decides_charset_zone_and_names(convert):
    """A sender's habits are set once and hold for all its messages."""
    found = convert(
        "fallback_charset: 8859/1\ntimezone: Europe/Berlin\nauthorities: {KGH: 'https://kgh.example/mrn'}\n",
        ADT,
    )
    by_type = {e["resource"]["resourceType"]: e["resource"] for e in found.bundle["entry"]}
    assert by_type["Patient"]["name"][0]["family"] == "Müller"
    assert by_type["Patient"]["identifier"][0]["system"] == "https://kgh.example/mrn"
    assert by_type["Encounter"]["period"]["start"].endswith("+01:00")


def test_key_at_the_edge_follows_the_profile_too(tmp_path):
    """Names and key rule count at the edge as they do in the mapper, or the order per patient would break."""
    write(tmp_path, "fallback_charset: 8859/1\nauthorities: {KGH: 'https://kgh.example/mrn'}\n")
    write(tmp_path, "fallback_charset: 8859/1\npatient_key: feed\n", "other.yaml")
    settings = Settings(feeds=str(tmp_path))
    envelope = Envelope(ADT.encode("latin-1"), Kind.HL7V2, "lab", "id", datetime(2026, 1, 1, tzinfo=UTC))
    intake = make_intake(settings)
    assert intake.key(envelope.payload, "lab") == make_pipeline(settings).process(envelope)[0].patient_key
    assert intake.key(envelope.payload, "other") == "other"


def test_two_profiles_of_one_name_keep_their_own_names(tmp_path):
    """A mapper used as a library: what one profile calls an authority is nothing to the next, whatever it is named."""
    mapper = make_mapper(Settings())
    profiles = [FeedProfile(authorities={"KGH": f"https://{n}.example/mrn"}) for n in "ab"]
    systems = []
    for profile in profiles:
        (patient,) = (
            r for r in mapper.map(er7.parse(ADT), profile).resources if r["resourceType"] == "Patient"
        )
        systems.append(patient["identifier"][0]["system"])
    assert systems == ["https://a.example/mrn", "https://b.example/mrn"]


def test_unexpected_sender_is_reported(convert):
    """A system plugged into the wrong port shows."""
    found = convert("fallback_charset: 8859/1\nexpected_sender: LIS|KGH\n", ADT)
    assert "sender-unexpected" in {i.code for i in found.issues}


@pytest.mark.parametrize(("strictness", "accepted"), [("off", True), ("lenient", True), ("strict", False)])
def test_strictness_decides_what_a_deviation_costs(convert, strictness, accepted):
    """Off the hot path unless asked; lenient tells, strict refuses with the place."""
    bad = ADT.replace("19800101", "yesterday")
    found = convert(f"fallback_charset: 8859/1\nstrictness: {strictness}\n", bad)
    assert found.accepted is accepted
    told = [i for i in found.issues if i.code.startswith("conformance")]
    assert bool(told) is (strictness != "off")
    if not accepted:
        assert told[-1].location == "PID[1]-7[1].1"


def test_feeds_without_profile_have_the_sites_zone():
    """The site's own time zone is the default of every feed."""
    assert Profiles(Settings(timezone="Europe/Berlin"))("x").timezone == "Europe/Berlin"
