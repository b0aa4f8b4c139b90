"""OIDs and UUIDs in URIs: what is none gets a URN that is one, and is reported."""

import pytest

from engine.feeds import FeedProfile
from engine.hl7v2 import er7
from engine.mapping.mapper import Mapper


@pytest.fixture(scope="module")
def mapper():
    return Mapper()


def endpoint(mapper, application):
    text = f"MSH|^~\\&|{application}|F|R|RF|20260101||ADT^A01^ADT_A01|1|P|2.5.1\rPID|1||1^^^H^MR\r"
    mapped = mapper.map(er7.read(text.encode()), FeedProfile(name="f"))
    (header,) = [r for r in mapped.resources if r["resourceType"] == "MessageHeader"]
    return header["source"]["endpoint"], {i.code for i in mapped.issues}


@pytest.mark.parametrize(
    ("application", "expected"),
    [
        ("A^2.16.840.1.113883.3.1^ISO", "urn:oid:2.16.840.1.113883.3.1"),
        ("A^3F2504E0-4F89-11D3-9A0C-0305E82C3301^UUID", "urn:uuid:3f2504e0-4f89-11d3-9a0c-0305e82c3301"),
    ],
)
def test_an_oid_or_uuid_is_told_as_a_urn(mapper, application, expected):
    found, issues = endpoint(mapper, application)
    assert found == expected
    assert "invalid-urn" not in issues


@pytest.mark.parametrize("universal", ["9.8", "1.02.3", "not an oid", "1.2."])
def test_what_is_no_oid_gets_a_urn_under_the_sites_base_and_is_reported(mapper, universal):
    found, issues = endpoint(mapper, f"A^{universal}^ISO")
    assert found == f"urn:wardstream:authority:{universal.replace(' ', '%20')}"
    assert "invalid-urn" in issues


def test_a_facility_that_an_oid_names_has_the_system_of_uris(message):
    """R4: a value that is a whole URI stands under urn:ietf:rfc:3986."""
    result = message("ADT^A08^ADT_A01", "EVN|A08|20260105||||20260105|WARD^1.2.3^ISO", "PID|1||7^^^KGH^MR")
    place = next(r for r in result.of("Location") if r.get("name") == "WARD")
    assert {i["system"]: i["value"] for i in place["identifier"]}["urn:ietf:rfc:3986"] == "urn:oid:1.2.3"
