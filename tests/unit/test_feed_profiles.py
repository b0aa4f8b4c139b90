"""Feed profiles: what a site says about a sender, and how faults in it are told."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.composition import Profiles, make_intake, make_pipeline
from adapters.feed_profiles import load_profile, load_profiles
from engine.errors import SettingsError
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
        ("authorities:\n  KGH: nowhere\n", 1, "absolute URI"),
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
    assert Profiles(Settings(timezone="Europe/Berlin", feeds="/nonexistent"))("x").timezone == "Europe/Berlin"
