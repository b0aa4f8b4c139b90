"""Documents: text, files, addenda, replacements and cancellations."""

from __future__ import annotations

import base64

import pytest
from mapped_resources import reference

PID = "PID|1||7^^^KGH^MR||Tan^Ah Kow"


def test_an_addendum_appends_to_its_parent(fixture):
    """T06: the parent by its number, the text, and when, why and by whom it was edited."""
    result = fixture("mdm-t06-addendum")
    document = result.one("DocumentReference")
    (parent,) = document["relatesTo"]
    assert (parent["code"], parent["target"]["identifier"]["value"]) == ("appends", "DOC-30001")
    text = base64.b64decode(document["content"][0]["attachment"]["data"]).decode()
    assert text == "Addendum: urine culture grew no organism."
    assert document["context"]["related"][0]["identifier"]["value"] == "ORD-50001"
    (edit,) = (p for p in result.of("Provenance") if p["target"] == [reference(document)])
    assert edit["recorded"] == "2026-01-10T10:10:00+08:00"
    assert edit["reason"] == [{"text": "Result came after discharge"}]
    assert result.get(edit["agent"][0]["who"])["name"][0]["family"] == "Ong"


def test_a_replacement_replaces_and_its_file_stays_a_file(fixture):
    """T10: relatesTo replaces; base64 is passed on as it is, under its media type."""
    document = fixture("mdm-t10-replacement").one("DocumentReference")
    assert document["relatesTo"][0]["code"] == "replaces"
    (content,) = document["content"]
    assert content["attachment"]["contentType"] == "application/pdf"
    assert base64.b64decode(content["attachment"]["data"]).startswith(b"%PDF")
    assert document["identifier"][0]["value"] == "DS-30006.pdf"


def test_a_cancellation_is_about_the_document_that_was_sent(fixture):
    """T11 has the id of the document that it cancels."""
    sent = fixture("mdm-t02-ed-text").one("DocumentReference")
    cancelled = fixture("mdm-t11-cancel").one("DocumentReference")
    assert (sent["id"], sent["status"]) == (cancelled["id"], "current")
    assert cancelled["status"] == "entered-in-error"


def test_orders_of_a_document_are_linked_to_it(fixture):
    """COMMON_ORDER repeats before TXA: each order is one that the document is about."""
    result = fixture("mdm-t01-with-orders")
    orders = [reference(r) for r in result.of("ServiceRequest")]
    assert len(orders) == 2
    related = result.one("DocumentReference")["context"]["related"]
    assert sorted(r["reference"] for r in related) == sorted(o["reference"] for o in orders)


@pytest.mark.parametrize(
    ("event", "status", "doc_status"),
    [("T01", "AV", "final"), ("T03", "UN", "final"), ("T07", "OB", "final"), ("T11", "", "final")],
)
def test_status_of_every_event(message, event, status, doc_status):
    """TXA-17 and TXA-19 decide; a cancellation needs no TXA-19."""
    result = message(
        f"MDM^{event}^MDM_T01", "EVN||20260101", PID, "PV1|1|I",
        "TXA|1|DS|TX|20260101|||||||" + f"|D1^KGH|||||AU||{status}",
    )  # fmt: skip
    document = result.one("DocumentReference")
    expected = {"AV": "current", "UN": "current", "OB": "superseded", "": "entered-in-error"}[status]
    assert (document["status"], document["docStatus"]) == (expected, doc_status)


@pytest.mark.parametrize(
    ("value", "media", "data"),
    [
        ("^IM^JPEG^Base64^/9j/4A==", "image/jpeg", b"\xff\xd8\xff\xe0"),
        ("^TEXT^HTML^A^<p>x</p>", "text/html", b"<p>x</p>"),
        ("APP^application^pdf^Hex^255044", "application/pdf", b"%PD"),
        ("^TX^^A^plain", "text/plain", b"plain"),
    ],
)
def test_encapsulated_data_of_any_kind(message, value, media, data):
    """ED: the media type as MIME writes it, the bytes behind the encoding that ED.4 names."""
    result = message(
        "MDM^T02^MDM_T02", "EVN||20260101", PID, "PV1|1|I", "TXA|1|DS|TX|20260101||||||||D1^KGH|||||AU||AV",
        f"OBX|1|ED|D^Document||{value}||||||F",
    )  # fmt: skip
    attachment = result.one("DocumentReference")["content"][0]["attachment"]
    assert attachment["contentType"].partition(";")[0] == media
    assert base64.b64decode(attachment["data"]) == data


def test_a_result_that_only_stands_where_a_document_would_is_no_document(process):
    """An OBX between ORC and OBR (v2.8 has a document there, behind its TXA) is a result, and none is lost."""
    lines = (
        rb"MSH|^~\&|A|B|C|D|20230405||ORU^R01^ORU_R01|1|P|2.8", PID.encode(), b"ORC|RE|P1^X|F1^X",
        b"OBX|1|NM|2951-2^Sodium^LN||140|mmol/L|||||F", b"OBR|1|P1^X|F1^X|24326-1^Lytes^LN",
        b"OBX|1|NM|2823-3^Potassium^LN||4|mmol/L|||||F",
    )  # fmt: skip
    result = process(b"\r".join(lines))
    assert result.of("DocumentReference") == []
    assert sorted(o["valueQuantity"]["value"] for o in result.of("Observation")) == [4, 140]


@pytest.mark.parametrize(
    ("sent", "media_type", "unused"),
    [
        ("^application^pdf^Base64^QUJD", "application/pdf", []),
        ("^PDF^^Base64^QUJD", "application/pdf", []),
        ("^image/png^^Base64^QUJD", "image/png", []),
        ("^BINARY^JPEG^Base64^QUJD", "image/jpeg", ["OBX[1]-5[1].2"]),
        ("^odd^^Base64^QUJD", "application/octet-stream", ["OBX[1]-5[1].2"]),
        ("^TEXT^%20^A^x", "text/plain", ["OBX[1]-5[1].3"]),
    ],
)
def test_what_the_media_type_does_not_show_is_reported(process, sent, media_type, unused):
    """ED.2 and ED.3 make one media type; a part that left no trace in it is no used value."""
    head = rb"MSH|^~\&|A|B|C|D|20230405101112||MDM^T02^MDM_T02|1|P|2.5.1"
    lines = (head, PID.encode(), b"TXA|1|CN||||||||||D1", b"OBX|1|ED|1^Note^99L||" + sent.encode())
    result = process(b"\r".join(lines))
    (content,) = result.one("DocumentReference")["content"]
    assert content["attachment"]["contentType"] == media_type
    assert [p for p in result.unmapped() if p.startswith("OBX[1]-5")] == unused


def test_a_cancellation_cancels_whatever_the_header_still_says(process):
    """T11 with TXA-19 left at AV (available)."""
    head = rb"MSH|^~\&|A|B|C|D|20230405101112||MDM^T11^MDM_T01|1|P|2.5.1"
    txa = b"TXA|1|DS|TX||||||||||D1|||||||AV"
    document = process(b"\r".join((head, PID.encode(), txa))).one("DocumentReference")
    assert document["status"] == "entered-in-error"
