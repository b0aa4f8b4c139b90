"""Bytes to documents: encodings, strict JSON, several documents in one payload."""

import pytest

from engine.errors import CharsetError, NotFhirError, TooLargeError
from engine.fhir.reader import read_documents
from engine.fhir.writer import dumps
from engine.settings import Read

TEXT = '{"resourceType":"Patient","name":[{"family":"José 陈"}]}'


def read(payload, charset=None, **limits):
    payload = payload.encode() if isinstance(payload, str) else payload
    return list(read_documents(payload, Read(**limits), charset=charset))


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16"),
        ("utf-16-be", "utf-16"),
        ("utf-32", "utf-32"),
        ("utf-32-le", "utf-32"),
        ("utf-32-be", "utf-32"),
    ],
)
def test_every_unicode_encoding_is_read_with_and_without_mark(encoding, name):
    """Names arrive whole whatever Unicode encoding the sender chose."""
    (document,) = read(TEXT.encode(encoding))
    assert document.charset == name
    assert document.resource["name"][0]["family"] == "José 陈"
    assert document.issues == ()


def test_a_declared_character_set_is_used_and_reported():
    """FHIR asks for UTF-8; what is declared and fits is read all the same."""
    (document,) = read('{"a":"José"}'.encode("latin-1"), charset="ISO-8859-1")
    assert (document.resource, document.charset) == ({"a": "José"}, "iso-8859-1")
    assert [issue.code for issue in document.issues] == ["charset-not-utf-8"]


def test_a_declaration_that_the_bytes_contradict_is_reported():
    """Bytes that are valid UTF-8 are UTF-8: reading them as declared would garble the name in silence."""
    (document,) = read('{"a":"José"}', charset="iso-8859-1")
    assert document.resource == {"a": "José"}
    assert [issue.code for issue in document.issues] == ["charset-repaired"]


@pytest.mark.parametrize("charset", [None, "utf-8", "no-such-set", "rot13"])
def test_bytes_that_fit_nothing_are_refused_with_their_place(charset):
    """No guess, no replacement character: the byte is named."""
    with pytest.raises(CharsetError) as caught:
        read(b'{"a":"Jos\xe9"}', charset=charset)
    assert "byte 9" in caught.value.message


@pytest.mark.parametrize(
    "lexeme",
    ["1.50", "1e2", "0.10", "-0", "123456789012345678901234567890", "1E-7", "3.0000000000000000000001"],
)
def test_numbers_survive_the_round_trip_exactly(lexeme):
    """A laboratory's digits are its precision."""
    payload = f'{{"value":{lexeme}}}'.encode()
    assert dumps(read(payload)[0].resource) == payload


@pytest.mark.parametrize(
    ("payload", "word"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("[]", "empty array"),
        ("not json", "line 1, column 1"),
        ('{"a":1,}', "line 1, column 8"),
        ('{"a":1} x', "line 1, column 9"),
        ('{"a":NaN}', "NaN"),
        ('{"a":-Infinity}', "Infinity"),
        ('{"a":1e99999999999999999999}', "exponent"),
        ("{'a':1}", "line 1, column 2"),
        ("MSH|^~\\&|", "HL7 v2"),
        ('<Patient xmlns="http://hl7.org/fhir"/>', "XML"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(payload, word):
    """The sender's engineer learns where to look."""
    with pytest.raises(NotFhirError) as caught:
        read(payload)
    assert word in caught.value.message
    assert caught.value.action


@pytest.mark.parametrize("payload", ["1", "null", '"x"', "true"])
def test_json_that_is_no_object_is_an_error_of_that_document(payload):
    """JSON, but nothing that FHIR knows."""
    assert [d.error.code for d in read(payload)] == ["not-fhir"]


def test_duplicate_names_are_reported_with_their_place():
    """Most parsers drop the first value in silence; here it is told."""
    (document,) = read('{"resourceType":"Patient","name":[{"family":"A","family":"B"}]}')
    assert document.resource["name"] == [{"family": "B"}]
    assert [issue.location for issue in document.issues] == ["Resource.name[0].family"]
    assert [lost.location for lost in document.unmapped] == ["Resource.name[0].family"]


def test_raw_control_characters_are_read_over_and_reported():
    """A raw line break within a string is a common fault that can't change a value."""
    (document,) = read('{"a":"x\ny\tz"}')
    assert document.resource == {"a": "x\ny\tz"}
    assert [issue.code for issue in document.issues] == ["control-character"]


def test_half_characters_are_replaced_and_reported():
    r"""``\ud83d`` alone is no character and no encoding can hold it; a whole pair is one."""
    (document,) = read(r'{"a":"\ud83d","b":"\ud83d\ude00"}')
    assert document.resource == {"a": "\ufffd", "b": "😀"}
    assert [issue.code for issue in document.issues] == ["half-character"]


def test_depth_and_size_are_limited():
    """A hostile document costs one refusal, not the process."""
    deep = '{"a":' * 12 + "1" + "}" * 12
    assert read(deep, max_json_depth=12)[0].error is None
    refused = read(deep, max_json_depth=11)[0].error
    assert isinstance(refused, TooLargeError)
    assert refused.location == "Resource.a.a.a.a.a.a.a.a"
    with pytest.raises(TooLargeError):
        read("[" * 200_000)
    for levels in (100, 400, 900):
        halves = '{"a":' * levels + r'"\ud800"' + "}" * levels
        with pytest.raises(TooLargeError):
            raise next(iter(read(halves))).error
    with pytest.raises(TooLargeError):
        read(TEXT + " " * 100, max_message_bytes=100)


def test_an_array_gives_a_document_an_item():
    """One item that is no object does not spoil the others."""
    documents = read('[{"a":1},2,{"b":3}]')
    assert [(d.index, d.resource, d.error is None) for d in documents] == [
        (0, {"a": 1}, True),
        (1, {}, False),
        (2, {"b": 3}, True),
    ]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r", "\n\n"])
def test_ndjson_gives_a_document_a_line_and_a_bad_line_stands_alone(newline):
    """Bulk files are long; one bad line costs one line."""
    documents = read(newline.join(['{"a":1}', '{"b":', '{"c":"x\u2028y"}', ""]))
    assert [d.resource for d in documents] == [{"a": 1}, {}, {"c": "x\u2028y"}]
    assert [d.error.code if d.error else "" for d in documents] == ["", "not-fhir", ""]


def test_a_document_broken_in_the_middle_is_not_taken_for_ndjson():
    """A pretty-printed Bundle that was cut off is one refusal, not a hundred odd resources."""
    cut = '{\n "entry": [\n  {"a": 1},\n  {"b": 2},\n "x": '
    with pytest.raises(NotFhirError):
        read(cut)


def test_documents_are_read_as_they_are_asked_for():
    """A long bulk file is not held as parsed documents."""
    documents = read_documents(b'{"a":1}\n{"b":2}\n' * 1000, Read())
    assert next(documents).resource == {"a": 1}


def test_leaves_count_values_only():
    """Coverage is measured against what was really said."""
    assert read('{"a":1,"b":null,"c":"","d":[1,"x",null],"e":{"f":false},"g":[]}')[0].leaves == 4


def test_joined_bulk_files_have_marks_in_their_middle():
    """Each exported file began with its byte order mark; no resource is lost for it, nor its neighbours."""
    lines = [f'{{"resourceType":"Patient","id":"{n}"}}' for n in range(3)]
    content = "\n".join(f"\ufeff{line}" for line in lines).encode()
    assert [d.resource["id"] for d in read_documents(content, Read())] == ["0", "1", "2"]
    cut = content[:-1]
    assert [d.error is None for d in read_documents(cut, Read())] == [True, True, False]
