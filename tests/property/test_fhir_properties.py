"""Properties of FHIR in: any bytes have an outcome, numbers survive, what leaves is valid."""

import contextlib
import json
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import WardstreamError
from engine.fhir.inbound import process_fhir
from engine.fhir.outcome import operation_outcome
from engine.fhir.reader import read_documents
from engine.fhir.schema import resource_types
from engine.fhir.validate import repair, validate, validate_bundle
from engine.fhir.writer import dumps
from engine.fhir.xhtml import html_to_text, is_narrative, text_to_narrative
from engine.records import Envelope, Kind, Severity
from engine.settings import Read, Settings

LIMITS = Read()
ERROR = Severity.ERROR

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
scalars = st.none() | st.booleans() | st.integers(-(10**25), 10**25) | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
lexemes = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)

NAMES = [
    "id", "meta", "text", "contained", "extension", "identifier", "status", "name", "_name", "code", "subject", "reference", "value",
    "valueQuantity", "valueString", "_valueString", "period", "start", "end", "birthDate", "_birthDate", "given", "_given", "gender",
    "coding", "system", "telecom", "note", "url", "entry", "resource", "request", "method", "fullUrl", "type", "div", "data",
]  # fmt: skip
WORDS = [
    "final", "male", "unknown", "2020", "2020-02-30", "2020-01-01T00:00:00Z", "Patient/1", "#a", "urn:uuid:x", "http://x/Patient/1",
    "<div>x</div>", "transaction", "POST", "PUT", "SGk=", "text/plain", "", " ", "\x00", "\u00a0",
]  # fmt: skip
leaf = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(WORDS)
body = st.recursive(
    leaf,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=25,
)
resources = st.builds(
    lambda kind, elements: {"resourceType": kind, **elements},
    st.sampled_from(sorted(resource_types())),
    st.dictionaries(st.sampled_from(NAMES), body, max_size=8),
)


def envelope(payload, charset=None):
    return Envelope(payload, Kind.FHIR, "f", "m", datetime(2026, 1, 1, tzinfo=UTC), charset=charset)


@given(
    st.binary(max_size=200), st.sampled_from([None, "utf-8", "latin-1", "utf-16", "gb18030", "rot13", "none"])
)
def test_any_bytes_have_an_outcome(payload, charset):
    """Whatever arrives is accepted or rejected with a reason; nothing raises."""
    outcomes = process_fhir(envelope(payload, charset), Settings())
    assert outcomes
    assert all(outcome.accepted or outcome.error_code for outcome in outcomes)


@given(values)
def test_reading_gives_documents_or_our_errors(value):
    """Any exception but ours is a bug."""
    with contextlib.suppress(WardstreamError):
        for document in read_documents(json.dumps(value).encode(), LIMITS):
            assert document.error is None or isinstance(document.error, WardstreamError)


@given(st.dictionaries(texts, values, max_size=5), st.sampled_from(["utf-8", "utf-16", "utf-32"]))
def test_what_is_written_is_read_again(value, encoding):
    """read(write(x)) = x, in every encoding."""
    payload = dumps(value).decode().encode(encoding)
    (document,) = read_documents(payload, LIMITS)
    assert document.resource == value
    assert dumps(document.resource) == dumps(value)


@given(st.lists(lexemes, min_size=1, max_size=5))
def test_numbers_keep_every_digit(numbers):
    """write(read(bytes)) = bytes for any JSON number."""
    payload = f'{{"a":[{",".join(numbers)}]}}'.encode()
    (document,) = read_documents(payload, LIMITS)
    assert dumps(document.resource) == payload


@settings(deadline=None)
@given(resources)
def test_repair_gives_a_valid_resource_or_a_reason(resource):
    """Nothing invalid leaves; what can't be saved says why; the source is never touched."""
    before = json.dumps(resource)
    fixed, issues = repair(resource)
    assert json.dumps(resource) == before
    if fixed is None:
        assert issues[-1].severity is ERROR
    else:
        assert [finding for finding in validate(fixed) if finding.severity is ERROR] == []
        assert repair(fixed) == (fixed, [])


@settings(deadline=None)
@given(
    st.lists(resources, max_size=3),
    st.sampled_from(["collection", "transaction", "history", "searchset", "odd"]),
)
def test_any_bundle_gives_a_valid_transaction(contents, kind):
    """What leaves is valid R4 whatever came, and the same bytes come out the second time."""
    requests = [{}, {"method": "POST", "url": "Patient"}, {"method": "PUT", "url": "Patient/1"}]
    entries = [
        {"fullUrl": f"urn:uuid:{n}", "resource": r, "request": requests[n]} for n, r in enumerate(contents)
    ]
    payload = dumps({"resourceType": "Bundle", "type": kind, "entry": entries})
    (outcome,) = process_fhir(envelope(payload), Settings())
    assert validate(operation_outcome(outcome.issues)) == []
    if outcome.accepted:
        assert [f for f in validate_bundle(outcome.bundle, closed=False) if f.severity is ERROR] == []
        assert dumps(outcome.bundle) == dumps(process_fhir(envelope(payload), Settings())[0].bundle)


@given(st.text(max_size=60))
def test_any_markup_gives_text(markup):
    """Reading markup never fails."""
    assert isinstance(html_to_text(markup), str)


@given(st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"]), max_size=40))
def test_any_text_can_be_a_narrative(text):
    """Text that says something makes a narrative that R4 allows."""
    assert (
        is_narrative(text_to_narrative(text))
        or not text.strip()
        or any(ord(c) in {0xFFFE, 0xFFFF} for c in text)
    )
