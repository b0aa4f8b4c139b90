"""What a receiver learns of where a resource came from, and how much of a message arrived."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from adapters.composition import make_pipeline
from engine.drift.telemetry import IngestTelemetry
from engine.fhir.writer import dumps
from engine.mapping.mapper import Mapper
from engine.records import Envelope, Kind, Outcome, Unmapped
from engine.report import report
from engine.settings import Drift, Mapping, Settings

AT = datetime(2026, 1, 1, tzinfo=UTC)
MESSAGE = (
    "MSH|^~\\&|LAB|KGH|||20260101120000||ORU^R01^ORU_R01|C77|P|2.5.1\r"
    "PID|1||7^^^KGH^MR||Tan^Ah Kow\r"
    "OBR|1||F1^LAB|CBC^Count^L|||20260101\r"
    "OBX|1|NM|HB^Haemoglobin^L||13|g/dL|||||F\r"
    "OBX|2|NM|WBC^Leucocytes^L||5|10*9/L|||||F|||||123^Lim^Mei\r"
)


def process(detail="segment", message=MESSAGE, **mapping) -> Outcome:
    pipeline = make_pipeline(Settings(mapping=Mapping(provenance=detail, **mapping)))
    (outcome,) = pipeline.process(Envelope(message.encode(), Kind.HL7V2, "f", "m", AT))
    assert outcome.accepted
    return outcome


def resources(outcome):
    return {e["request"]["url"]: e["resource"] for e in outcome.bundle["entry"]}


def provenance_of(outcome):
    (found,) = [r for r in resources(outcome).values() if r["resourceType"] == "Provenance"]
    return found


def test_provenance_links_every_resource_to_its_segment_and_the_message():
    """Each resource, also one made for a reference, tells its segment; the message is named by its control id."""
    outcome = process()
    provenance = provenance_of(outcome)
    told = {t["reference"]: t["extension"][0]["valueString"] for t in provenance["target"]}
    made = resources(outcome)
    assert set(told) == {url for url, r in made.items() if r["resourceType"] not in {"Provenance", "Device"}}
    by_type: dict[str, set[str]] = {}
    for reference, segment in told.items():
        by_type.setdefault(reference.split("/")[0], set()).add(segment)
    assert by_type["Patient"] == {"PID[1]"}
    assert by_type["Observation"] == {"OBX[1]", "OBX[2]"}
    assert by_type["DiagnosticReport"] == {"OBR[1]"}
    assert by_type["MessageHeader"] == {"MSH[1]"}
    (entity,) = provenance["entity"]
    assert entity["role"] == "source"
    assert entity["what"]["identifier"] == {"value": "C77"}
    assert entity["what"]["reference"] in made


def test_the_version_of_the_tables_is_told_and_changes_with_a_row(tmp_path):
    """Two Bundles of one message made by different tables can be told apart; a note or a moved line is no change."""
    plain = Mapper().rules_version
    assert provenance_of(process())["policy"] == [f"urn:wardstream:maps:{plain}"]
    table = tmp_path / "segments" / "PID-Patient.csv"
    table.parent.mkdir()
    header = "#: type: Patient\nsource,when,target,using,codes,value,note\n"
    table.write_text(f"{header}PID-17,,-,,,,a note\n", encoding="utf-8")
    changed = Mapper(tmp_path).rules_version
    assert changed != plain
    assert provenance_of(process(overlay=str(tmp_path)))["policy"] == [f"urn:wardstream:maps:{changed}"]
    table.write_text(f"# why\n{header}PID-17,,-,,,,another note\n", encoding="utf-8")
    assert Mapper(tmp_path).rules_version == changed


def test_detail_is_the_sites_to_choose():
    """message leaves the segments out, off leaves Provenance and the engine's Device out."""
    targets = provenance_of(process("message"))["target"]
    assert targets
    assert all(set(target) == {"reference"} for target in targets)
    assert not {"Provenance", "Device"} & {r["resourceType"] for r in resources(process("off")).values()}


@pytest.mark.parametrize("detail", ["off", "message", "segment"])
def test_the_same_message_gives_the_same_bytes(detail):
    """No clock and no chance gets into a Bundle, whatever the detail."""
    assert dumps(process(detail).bundle) == dumps(process(detail).bundle)


def test_coverage_is_the_share_of_valued_leaves_that_arrived():
    """One value in eight lost is 0.875; a whole segment's remark and an explicit null change nothing."""
    outcome = Outcome(
        accepted=True,
        leaves=8,
        unmapped=(Unmapped("ZZZ[1]-1", "no rule"), Unmapped("PID[1]", "Patient.x: broken")),
        cleared=("PID[1]-13",),
    )
    assert outcome.coverage == 0.875
    assert report(outcome, "p", 0)["coverage"] == 0.875
    assert Outcome(accepted=False, leaves=8).coverage is None
    assert Outcome(accepted=True).coverage is None


def test_coverage_of_a_message_falls_with_what_no_rule_maps():
    """A Z-segment of three values lowers the figure by just those."""
    whole = process()
    more = process(message=MESSAGE + "ZZZ|a|b^c\r")
    assert more.leaves == whole.leaves + 3
    assert more.mapped_leaves == whole.mapped_leaves
    assert 0.5 < more.coverage < whole.coverage <= 1


def test_telemetry_tells_the_coverage_of_a_feeds_window():
    """Of all values in the window's messages, not the mean of their shares: a long message weighs more."""
    telemetry = IngestTelemetry(Drift(window_messages=3))
    lost = tuple(Unmapped(f"ZZZ[1]-{n}", "no rule") for n in range(1, 11))
    assert telemetry.add("f", Outcome(accepted=True, leaves=90), AT) == []
    telemetry.add("f", Outcome(accepted=False, leaves=50, error_code="charset"), AT)
    (window,) = telemetry.add("f", Outcome(accepted=True, leaves=10, unmapped=lost), AT)
    assert json.loads(window.value)["coverage"] == 0.9


def test_what_only_provenance_told_is_not_called_invalid_when_provenance_is_off():
    """The value is as good as ever; the site did not want it."""
    message = MESSAGE.replace("PID|", "EVN|R01|20251231235900|||OP77^Ong^Bee\rPID|", 1)
    reasons = {u.location: u.reason for u in process("off", message).unmapped}
    assert reasons["EVN[1]-2"] == "left out: it tells of an act alone, and mapping.provenance is off"
    assert not [r for r in reasons.values() if r.startswith("invalid")]


def test_a_message_without_a_time_of_day_keeps_its_provenance():
    """MSH-7 is no instant: when it was recorded is unknown, the rest of the Provenance stays, with what was sent."""
    provenance = provenance_of(process(message=MESSAGE.replace("20260101120000", "20260101", 1)))
    assert "recorded" not in provenance
    assert "20260101" in json.dumps(provenance["_recorded"])
    assert provenance["entity"][0]["what"]["identifier"] == {"value": "C77"}
    without = provenance_of(process(message=MESSAGE.replace("20260101120000", "", 1)))
    assert without["_recorded"]["extension"][0]["valueCode"] == "unknown"


def test_what_did_its_work_in_the_reading_counts_as_arrived():
    """Set ids and value types are told as structure; the coverage is that of the rest."""
    outcome = process()
    reasons = [u.reason for u in outcome.unmapped]
    assert reasons
    assert all(r.startswith("structure: ") for r in reasons)
    assert outcome.coverage == 1
