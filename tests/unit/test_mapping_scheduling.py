"""Appointments by SIU: when, who, where, and whether it still stands."""

from __future__ import annotations

import pytest
from mapped_resources import one

from engine.feeds import FeedProfile
from engine.fhir.repair import repaired
from engine.hl7v2 import er7
from engine.mapping.complete import fill_required
from engine.mapping.mapper import Mapper


@pytest.fixture(scope="module")
def mapper():
    return Mapper()


@pytest.fixture
def convert(mapper):
    def run(event: str, *segments: str, version: str = "2.5.1"):
        head = f"MSH|^~\\&|SCHED|KGH|WS|SITE|20260101120000+0800||SIU^{event}|C1|P|{version}"
        return mapper.map(er7.parse("\r".join((head, *segments))), FeedProfile())

    return run


def sch(
    *, timing: str = "", status: str = "", reason: str = "", duration: str = "", orders: str = "|"
) -> str:
    return f"SCH|P1^CLINIC|F1^SCHED||||{reason}|||{duration}|min|{timing}{'|' * 14}{status}|{orders}"


PID = "PID|1||7^^^KGH^MR||Tan^Ah Kow"
WHEN = "^^^20260123100000+0800^20260123102000+0800"


def test_an_appointment_says_when_who_and_where(convert):
    """Patient, doctor, room and equipment take part, each with its own kind of resource and its own time."""
    mapped = convert(
        "S12", sch(timing=WHEN, status="Booked"), PID, "RGS|1", "AIS|1|A|CARFU^Cardiology follow-up^L",
        "AIG|1|A|ECG1^ECG machine^L|EQ^Equipment^L", "AIL|1|A|SOC^05^^KGH|C^Clinic^HL70305",
        "AIP|1|A|D1^Lim^Doc|ATT^Attending^L||20260123101000+0800|||10|min||Pending",
    )  # fmt: skip
    appointment = one(mapped, "Appointment")
    assert (appointment["start"], appointment["end"]) == (
        "2026-01-23T10:00:00+08:00",
        "2026-01-23T10:20:00+08:00",
    )
    assert appointment["serviceType"][0]["coding"][0]["code"] == "CARFU"
    actors = {p["actor"]["reference"].split("/")[0]: p for p in appointment["participant"]}
    assert {k: p["status"] for k, p in actors.items()} == {
        "Patient": "accepted",
        "Device": "accepted",
        "Location": "accepted",
        "Practitioner": "tentative",
    }
    assert actors["Practitioner"]["period"] == {
        "start": "2026-01-23T10:10:00+08:00",
        "end": "2026-01-23T10:20:00+08:00",
    }
    emitted = {f"{r['resourceType']}/{r['id']}" for r in mapped.resources}
    assert {p["actor"]["reference"] for p in appointment["participant"]} <= emitted


@pytest.mark.parametrize(
    ("event", "filler", "status"),
    [
        ("S12", "Booked", "booked"), ("S12", "", "booked"), ("S12", "PENDING", "pending"), ("S13", "", "booked"),
        ("S14", "Complete", "fulfilled"), ("S15", "Booked", "cancelled"), ("S16", "", "cancelled"), ("S17", "", "entered-in-error"),
        ("S26", "Booked", "noshow"), ("S14", "Started", "checked-in"), ("S14", "Dc", "cancelled"), ("S12", "XYZ", "booked"),
        ("S18", "", "booked"), ("S19", "", "booked"), ("S20", "", "booked"), ("S21", "", "booked"), ("S22", "", "booked"),
        ("S23", "", "booked"), ("S24", "", "cancelled"),
    ],
)  # fmt: skip
def test_event_and_filler_status_say_how_it_stands(convert, event, filler, status):
    """A cancelled, deleted or missed appointment never looks booked, whatever SCH-25 still says."""
    assert one(convert(event, sch(timing=WHEN, status=filler), PID), "Appointment")["status"] == status


def test_all_events_of_one_appointment_are_one_resource(convert):
    """Booked, moved, cancelled: the same Appointment; another occurrence of a series is another."""
    ids = {one(convert(e, sch(timing=WHEN), PID), "Appointment")["id"] for e in ("S12", "S13", "S15", "S26")}
    assert len(ids) == 1
    series = one(convert("S12", sch(timing=WHEN).replace("F1^SCHED|", "F1^SCHED|2"), PID), "Appointment")
    assert series["id"] not in ids


def test_why_it_was_cancelled_is_the_cancelation_reason(convert):
    """app-4: only of what is cancelled; any other event's reason stays beside it."""
    assert one(convert("S15", sch(reason="PAT^Patient asked^L"), PID), "Appointment")["cancelationReason"][
        "coding"
    ][0]["code"] == ("PAT")
    assert "cancelationReason" not in one(
        convert("S13", sch(reason="PAT^Patient asked^L"), PID), "Appointment"
    )


@pytest.mark.parametrize(
    ("segments", "start", "end"),
    [
        ((sch(timing="^^^20260123100000+0800", duration="45"),), "10:00", "10:45"),
        ((sch(), "TQ1|1||||||20260123110000+0800|20260123113000+0800"), "11:00", "11:30"),
        ((sch(), "RGS|1", "AIS|1|A|X^Y^L|20260123090000+0800|||1|h"), "09:00", "10:00"),
    ],
)
def test_the_end_follows_from_start_and_duration(convert, segments, start, end):
    """SCH-11, TQ1 from v2.5 on and AIS each tell the time; R4 wants both ends of it."""
    appointment = one(convert("S12", segments[0], *segments[1:2], PID, *segments[2:]), "Appointment")
    assert appointment["start"] == f"2026-01-23T{start}:00+08:00"
    assert appointment["end"] == f"2026-01-23T{end}:00+08:00"


@pytest.mark.parametrize("timing", ["", "^^^20260123100000+0800", "^^^20260123"])
def test_a_booking_without_its_times_is_still_valid(convert, timing):
    """app-2 and app-3: what the message leaves open is marked as unknown, and nothing else is lost."""
    appointment = one(convert("S12", sch(timing=timing, status="Booked"), PID), "Appointment")
    assert any(i.code == "required-absent" for i in fill_required(appointment, "SCH[1]"))
    mended = repaired(appointment)
    assert mended.issues == () or list(mended.issues) == []
    assert mended.resource is not None
    assert mended.resource["participant"][0]["actor"]["reference"].startswith("Patient/")


def test_the_visit_of_a_booking_is_planned(convert):
    """Nobody has come yet: the Encounter is planned, and cancelled with the appointment."""
    visit = "PV1|1|O|SOC^05^^KGH||||||||||||||||V1"
    booked = convert("S12", sch(timing=WHEN), PID, visit)
    assert one(booked, "Encounter")["status"] == "planned"
    assert one(booked, "Encounter")["appointment"] == [
        {"reference": f"Appointment/{one(booked, 'Appointment')['id']}"}
    ]
    assert one(convert("S15", sch(timing=WHEN), PID, visit), "Encounter")["status"] == "cancelled"


def test_the_order_of_an_appointment_is_its_reason_to_be(convert):
    """SCH-26 names the order; AIS tells what was ordered."""
    mapped = convert("S12", sch(timing=WHEN, orders="O1^HIS"), PID, "RGS|1", "AIS|1|A|ECHO^Echo^L")
    order = one(mapped, "ServiceRequest")
    assert one(mapped, "Appointment")["basedOn"] == [{"reference": f"ServiceRequest/{order['id']}"}]
    assert order["code"]["coding"][0]["code"] == "ECHO"
    assert order["subject"]["reference"].startswith("Patient/")


def test_notes_of_what_is_booked_are_lines_of_the_comment(convert):
    """Instructions stand behind SCH, AIS and AIL alike; none is lost."""
    mapped = convert(
        "S12", sch(timing=WHEN), "NTE|1||Fast from midnight", PID, "RGS|1", "AIS|1|A|X^Y^L", "NTE|1||Bring films",
        "AIL|1|A|SOC^05^^KGH", "NTE|1||Lift B",
    )  # fmt: skip
    assert one(mapped, "Appointment")["comment"] == "Fast from midnight\nBring films\nLift B"


def test_a_resource_taken_out_declines(convert):
    """S19 and S20 take a doctor out of the booking: the action code says which."""
    mapped = convert("S20", sch(timing=WHEN), PID, "RGS|1|U", "AIP|1|D|D1^Lim^Doc", "AIP|2|A|D2^Ng^Doc")
    statuses = [p["status"] for p in one(mapped, "Appointment")["participant"] if "Practitioner" in p["actor"]["reference"]]  # fmt: skip
    assert statuses == ["declined", "accepted"]


def test_a_booked_visit_stays_one_visit_over_all_events(convert):
    """Without a visit number the visit is known by its appointment: S12, S14 and S15 speak of the same."""
    said = [convert(event, sch(timing=WHEN), PID, "PV1|1|O") for event in ("S12", "S14", "S15")]
    visits = [one(mapped, "Encounter") for mapped in said]
    assert len({visit["id"] for visit in visits}) == 1
    assert [visit["status"] for visit in visits] == ["planned", "planned", "cancelled"]
