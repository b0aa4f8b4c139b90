"""The fixtures are what their README says: listed, whole, encoded and framed as claimed, and of nobody real."""

from __future__ import annotations

import base64
import gzip
import json
import re
import runpy
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
from fhir.resources.R4B import get_fhir_model_class
from hl7apy.parser import parse_message

FIXTURES = Path(__file__).parents[2] / "fixtures"
HL7, FHIR = FIXTURES / "hl7v2", FIXTURES / "fhir"
FOLDERS = pytest.mark.parametrize("folder", [HL7, FHIR], ids=["hl7v2", "fhir"])


@dataclass(frozen=True)
class Row:
    """One line of a README's tables."""

    file: str
    messages: int
    outcome: str
    shows: str
    issues: str

    @property
    def counts(self) -> Counter[str]:
        """Outcomes in words to their numbers: ``4 accepted, 1 rejected``; a bare word means all."""
        found = re.findall(r"(\d+) (accepted|rejected)", self.outcome)
        return Counter({word: int(n) for n, word in found} if found else {self.outcome: self.messages})


def rows(folder: Path) -> list[Row]:
    lines = (folder / "README.md").read_text(encoding="utf-8").splitlines()
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines if re.match(r"\| [\w-]+\.[\w.]+ \|", line)]
    return [Row(c[0].strip(), int(c[1]), *(cell.strip() for cell in c[2:])) for c in cells]


def data_files(folder: Path) -> set[str]:
    others = {"README.md", "build.py", ".gitattributes", "__pycache__"}
    return {path.name for path in folder.iterdir()} - others


def content(name: str) -> bytes:
    raw = (HL7 / name).read_bytes()
    return gzip.decompress(raw) if name.endswith(".gz") else raw


def text(name: str, codec: str = "utf-8") -> str:
    return content(name).decode(codec)


def segments(name: str) -> list[list[str]]:
    """Fields of each segment; a segment's n-th field is at index n, but for MSH, where it is at n - 1."""
    return [line.split("|") for line in text(name).split("\r") if line]


def message_starts(name: str) -> int:
    raw = content(name)
    if raw.startswith(b"\xff\xfe"):
        raw = raw[2:].decode("utf-16-le").encode()
    return len(re.findall(rb"(?:^|[\r\n\x0b])MSH(?=[^\w\s])", raw))


ROWS = rows(HL7)


# --- what the READMEs say ---------------------------------------------------------------------------------


@FOLDERS
def test_every_file_is_listed_and_every_listed_file_is_there(folder):
    """A reader of the README sees all there is, and nothing that is not."""
    listed = [row.file for row in rows(folder)]

    assert Counter(listed) == Counter(data_files(folder))


@FOLDERS
def test_every_row_accounts_for_its_messages(folder):
    """The outcomes of a row add up to its messages, so that a test may count on both."""
    wrong = [row.file for row in rows(folder) if row.counts.total() != row.messages or not row.shows]
    unknown = [row.file for row in rows(folder) if set(row.counts) - {"accepted", "rejected"}]

    assert (wrong, unknown) == ([], [])


@FOLDERS
def test_rejected_rows_say_why(folder):
    """Whoever meets a rejection finds the expected reason in the README."""
    assert [row.file for row in rows(folder) if row.counts["rejected"] and not row.issues] == []


def test_message_counts_are_true():
    """The number of MSH segments in each file is the number of messages its row states."""
    found = {row.file: max(1, message_starts(row.file)) for row in ROWS}

    assert found == {row.file: row.messages for row in ROWS}


def test_at_least_sixteen_kinds_of_messages():
    """The demo can show breadth: sixteen or more different events among the files named after their kind."""
    kinds = {segments(file)[0][8] for file in _kinds()}

    assert len({"^".join(kind.split("^")[:2]) for kind in kinds}) >= 16


def test_versions_from_2_3_to_2_7():
    """Old and new versions are both there."""
    versions = {segments(row.file)[0][11] for row in ROWS if re.match(r"(adt|oru|msh-t)", row.file)}

    assert versions >= {"2.3", "2.4", "2.5.1", "2.7"}


@FOLDERS
def test_the_build_script_makes_the_committed_bytes(folder):
    """Nobody edited a made file by hand; compressed files are compared by what is in them."""

    def plain(name: str, raw: bytes) -> bytes:
        return gzip.decompress(raw) if name.endswith(".gz") else raw

    made = runpy.run_path(str(folder / "build.py"))["files"]()

    assert [n for n, raw in made.items() if plain(n, raw) != plain(n, (folder / n).read_bytes())] == []


# --- people who do not exist ------------------------------------------------------------------------------


def _checks(number: str) -> bool:
    """Whether a text has the check letter of a Singapore NRIC or FIN."""
    total = sum(w * int(d) for w, d in zip((2, 7, 6, 5, 4, 3, 2), number[1:8], strict=True))
    total += {"T": 4, "G": 4, "M": 3}.get(number[0], 0)
    letters = {"S": "JZIHGFEDCBA", "T": "JZIHGFEDCBA", "M": "XWUTRQPNJLK"}.get(number[0], "XWUTRQPNMLK")
    return letters[total % 11] == number[8]


@FOLDERS
def test_no_national_identifier_could_be_real(folder):
    """Every NRIC-like value fails its own check letter, so that it belongs to nobody."""
    everything = "\n".join((folder / n).read_bytes().decode("latin-1") for n in data_files(folder))
    found = re.findall(r"\b[STFGM]\d{7}[A-Z]\b", everything)

    assert found
    assert [number for number in found if _checks(number)] == []


def test_no_telephone_or_postal_code_could_be_real():
    """Telephone numbers begin with 0000 and postal codes with 000."""
    joined = "\r".join(content(row.file).decode("latin-1") for row in ROWS)

    assert set(re.findall(r"\^65\^\^(\d{4})\d+", joined)) == {"0000"}
    assert {code[:3] for code in re.findall(r"(?i)singapore[\^$:]{2}(\d+)", joined)} == {"000"}
    assert set(re.findall(r"@([\w.]+)", joined)) <= {"example.org"}


def test_control_ids_are_unique():
    """A trace by control id finds one message, but for the file that is about repeating one."""
    joined = "\r".join(text(row.file, "latin-1").replace("\0", "") for row in ROWS)
    ids = Counter(re.findall(r"[|*](\w{3,4}-[A-Z]{2,3}-\d{4}|OLD\d{8})[|*]P[|*]", joined))

    assert [control for control, n in ids.items() if n > 1] == ["KGH-GLU-0033"]
    assert ids.total() > 90


# --- character sets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "declared", "codec", "words"),
    [
        ("charset-utf8-declared", "UNICODE UTF-8", "utf-8", "குமாரவேல்"),
        ("charset-utf8-undeclared", "", "utf-8", "林^佳恩"),
        ("charset-8859-1", "8859/1", "iso8859-1", "Müller^Zoë Peña^Zoë"),
        ("charset-8859-15", "8859/15", "iso8859-15", "Šimánek^Žofie"),
        ("charset-8859-1-but-utf8", "8859/1", "utf-8", "Müller^Zoë Peña^Zoë"),
        ("charset-8859-1-but-windows-1252", "8859/1", "cp1252", "D’Almeida^“Joe”"),
        ("charset-gb18030", "GB 18030-2000", "gb18030", "陈^瑋誠"),
        ("charset-big5", "BIG-5", "big5", "許^功育"),
        ("charset-shift-jis", "Shift-JIS", "shift_jis", "能登^ポソ"),
        ("charset-iso-ir87", "~ISO IR87", "iso2022_jp", "安倍^厚子"),
        ("charset-ks-x-1001", "KS X 1001", "euc_kr", "김^민지"),
        ("charset-utf16le-bom", "UNICODE UTF-16", "utf-16", "陈^伟明"),
        ("charset-undeclared-latin1", "", "iso8859-1", "Müller^Zoë"),
    ],
)
def test_bytes_are_in_the_stated_character_set(file, declared, codec, words):
    """Each file decodes as the README claims, and MSH-18 declares what the README claims."""
    decoded = text(f"{file}.hl7", codec)

    assert decoded.split("\r")[0].split("|")[17] == declared
    assert all(word in decoded for word in words.split())


@pytest.mark.parametrize(
    ("file", "codec", "characters", "bytes_in_them"),
    [
        ("charset-big5", "big5", "許功育", b"\\\\|"),
        ("charset-gb18030", "gb18030", "瑋誠", b"|\\"),
        ("charset-shift-jis", "shift_jis", "能ポソ", b"\\|\\"),
    ],
)
def test_trail_byte_traps_are_set(file, codec, characters, bytes_in_them):
    """The second bytes really are delimiters: whoever splits before decoding must break."""
    raw = content(f"{file}.hl7")
    encoded = [character.encode(codec) for character in characters]

    assert bytes(pair[1] for pair in encoded) == bytes_in_them
    assert all(pair in raw for pair in encoded)


def test_iso_2022_hides_delimiters_behind_escapes():
    """In 7-bit Japanese the bytes of kanji are a bar and a backslash between two escape sequences."""
    family, given = re.findall(rb"\x1b\$B(.+?)\x1b\(B", content("charset-iso-ir87.hl7"))

    assert (b"\\" in family, b"|" in given) == (True, True)


@pytest.mark.parametrize("file", ["charset-wrong-bytes", "charset-undeclared-latin1", "charset-cns-11643"])
def test_refused_bytes_are_no_utf_8(file):
    """No lenient reader could take the refused files for UTF-8."""
    with pytest.raises(UnicodeDecodeError):
        content(f"{file}.hl7").decode("utf-8")


def test_all_other_files_are_utf_8():
    """A file that is not about character sets does not bring one along by accident."""
    for row in ROWS:
        if not row.file.startswith("charset-") and row.file != "batch-one-bad.hl7":
            content(row.file).decode("utf-8")


# --- files, frames, batches -------------------------------------------------------------------------------


def test_segments_end_with_cr_unless_the_file_is_about_that():
    """What goes over MLLP from these files is what the standard says."""
    with_lf = {row.file for row in ROWS if b"\n" in content(row.file)}

    assert with_lf == {row.file for row in ROWS if row.file.startswith("endings-")} | {"not-hl7.hl7"}


def test_line_endings_are_as_named():
    """The files about line endings have those endings."""
    lf, crlf, mixed = (content(f"endings-{name}.hl7") for name in ("lf", "crlf", "mixed"))

    assert (lf.count(b"\r"), lf.count(b"\n")) == (0, 4)
    assert crlf.count(b"\r\n") == crlf.count(b"\r") == crlf.count(b"\n") == 4
    assert {b"\r\n", b"\n", b"\r"} <= set(re.findall(rb"(?<=\w)(\r\n|\r|\n)(?=\w|\r|\n| )", mixed))
    assert b"First line\nSecond line\r\nThird line|" in content("endings-raw-line-break.hl7")


@pytest.mark.parametrize(
    ("file", "messages", "stated"),
    [("batch-six.hl7", 6, "6"), ("batch-wrong-count.hl7", 3, "5"), ("batch-one-bad.hl7", 5, "5")],
)
def test_batches_state_the_counts_they_should(file, messages, stated):
    """BTS-1 is right or wrong as the README says; the envelope itself is complete."""
    lines = text(file, "latin-1").rstrip("\r").split("\r")

    assert [line[:3] for line in (*lines[:2], *lines[-2:])] == ["FHS", "BHS", "BTS", "FTS"]
    assert lines[-2:] == [f"BTS|{stated}", "FTS|1"]
    assert sum(line.startswith("MSH") for line in lines) == messages


def test_only_the_middle_message_of_the_bad_batch_is_bad():
    """Four of the five messages decode, so that only one may be rejected."""
    messages = re.split(rb"\r(?=MSH|BTS)", content("batch-one-bad.hl7"))[1:-1]

    def decodes(raw: bytes) -> bool:
        try:
            raw.decode("utf-8")
        except UnicodeDecodeError:
            return False
        return True

    assert [decodes(raw) for raw in messages] == [True, True, False, True, True]


def test_mllp_file_holds_three_whole_frames():
    """Start block, message, end block, carriage return; three times and nothing between."""
    frames = re.fullmatch(rb"(?:\x0bMSH[^\x0b\x1c]+\x1c\r){3}", content("mllp-three-messages.hl7"))

    assert frames


def test_duplicate_is_a_duplicate():
    """Both halves of the file are the same bytes."""
    raw = content("duplicate-message.hl7")

    assert raw[: len(raw) // 2] == raw[len(raw) // 2 :]


def test_many_repetitions_are_many():
    """Enough repetitions to expose a quadratic reader or a column that was thought single."""
    pid = next(s for s in segments("many-repetitions.hl7") if s[0] == "PID")

    assert [len(pid[n].split("~")) for n in (3, 8, 13)] == [301, 100, 300]


# --- what single messages claim ---------------------------------------------------------------------------


def test_nulls_stand_where_the_readme_says():
    """The update clears address, phone and date of death, and nothing else."""
    found = [
        f"{s[0]}-{n}" for s in segments("adt-a08-nulls.hl7") for n, value in enumerate(s) if value == '""'
    ]

    assert found == ["PID-11", "PID-13", "PID-29"]


def test_two_orders_pair_by_number():
    """Each ORC stands before the OBR with the same placer number, and they differ in orderer and status."""
    parts = segments("oru-r01-two-orders.hl7")
    orders = [s for s in parts if s[0] == "ORC"]
    requests = [s for s in parts if s[0] == "OBR"]

    assert [s[2] for s in orders] == [s[2] for s in requests]
    assert len({(s[12], s[5]) for s in orders}) == 2


def test_an_obx_follows_spm():
    """The culture has the order of segments that other engines lose."""
    ids = [s[0] for s in segments("oru-r01-micro-spm.hl7")]

    assert ids[ids.index("SPM") + 1] == "OBX"


def test_value_types_are_all_there():
    """One OBX of each type that issue lists and readers trip over."""
    types = {s[2] for s in segments("oru-r01-value-types.hl7") if s[0] == "OBX"}

    assert types == {"NM", "SN", "CE", "CWE", "DT", "TM", "TS", "ST", "FT", "TX", "ED", "RP"}


@pytest.mark.parametrize(
    ("file", "begins"),
    [("oru-r01-ed-pdf.hl7", b"%PDF-1.4"), ("mdm-t02-ed-text.hl7", b"ED NOTE\n")],
)
def test_encapsulated_data_decodes(file, begins):
    """OBX-5.5 is base64 of what OBX-5.2 and 5.3 say."""
    obx = next(s for s in segments(file) if s[0] == "OBX")

    assert base64.b64decode(obx[5].split("^")[4], validate=True).startswith(begins)


# Files of the first section that hl7apy finds fault with, and why they are right, or meant to be wrong.
HL7APY_IS_WRONG_OR_MEANT_TO_BE = {
    "adt-a17-swap-beds.hl7": "hl7apy knows one PID where the structure has two",
    "adt-a37-unlink.hl7": "hl7apy knows one PID where the structure has two",
    "adt-a24-link.hl7": "hl7apy knows one PID where the structure has two",
    "mfn-m02-staff.hl7": "hl7apy has no data type for STF-4",
    "mfn-m05-locations.hl7": "hl7apy has no data type for LOC-3",
    "adt-z99-unknown-trigger.hl7": "no definition exists of a local trigger",
    "orm-o01-order.hl7": "hl7apy wants all alternatives of the ORDER_DETAIL choice at once",
    "orr-o02-unable.hl7": "hl7apy wants all alternatives of the choice at once",
    "oru-r01-v28-participations.hl7": "hl7apy puts PRT behind OBR into the group of the ORC before it",
    "rde-o11-compound-infusion.hl7": "hl7apy puts TQ1 behind RXE into the group before it",
    "rde-o11-prescription.hl7": "hl7apy puts TQ1 behind RXE into the group before it",
    "oru-r01-suffixes-v23.hl7": "OBR-27 is optional in v2.3; suffixes are subcomponents of an ST (ch. 7, suffixes of observation identifiers)",
}


def _kinds() -> list[str]:
    readme = (HL7 / "README.md").read_text(encoding="utf-8").partition("## Header")[0]
    return re.findall(r"^\| (\S+\.hl7) \|", readme, re.MULTILINE)


@pytest.mark.parametrize("file", [f for f in _kinds() if f not in HL7APY_IS_WRONG_OR_MEANT_TO_BE])
def test_well_formed_messages_satisfy_an_independent_judge(file):
    """What is sent as good is good: structure, cardinality and data types by hl7apy's own tables."""
    assert parse_message(text(file), find_groups=True).validate()


# --- FHIR -------------------------------------------------------------------------------------------------


def _good() -> list[str]:
    readme = (FHIR / "README.md").read_text(encoding="utf-8").partition("## Wrong")[0]
    return re.findall(r"^\| (\S+\.json) \|", readme, re.MULTILINE)


@pytest.mark.parametrize("file", _good())
def test_good_fhir_satisfies_an_independent_judge(file):
    """What is sent as good is good by fhir.resources' R4B models."""
    document = json.loads((FHIR / file).read_bytes())
    for resource in document if isinstance(document, list) else [document]:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)


def test_encoded_patients_are_the_same_patient():
    """Byte order mark and UTF-16 change nothing but the bytes."""
    plain, bom, wide = ((FHIR / f"patient{x}.json").read_bytes() for x in ("", "-bom", "-utf-16"))

    assert bom.decode("utf-8-sig") == wide.decode("utf-16") == plain.decode("utf-8")
    assert (bom[:3], wide[:2]) == (b"\xef\xbb\xbf", b"\xfe\xff")


def test_one_line_in_ten_is_broken():
    """The fifth line of the bulk file, and no other, is no JSON."""

    def broken(line: str) -> bool:
        try:
            json.loads(line)
        except json.JSONDecodeError:
            return True
        return False

    lines = (FHIR / "ten-resources.ndjson").read_text(encoding="utf-8").splitlines()

    assert [n for n, line in enumerate(lines, 1) if broken(line)] == [5]
    assert len(lines) == 10


def test_decimals_need_more_than_a_double():
    """The file tells an exact reader from one that goes through floating point."""
    raw = (FHIR / "decimals.json").read_text(encoding="utf-8")
    exact = [str(c["valueQuantity"]["value"]) for c in json.loads(raw, parse_float=Decimal)["component"]]

    assert exact == ["1.50", "7.0", "0.010", "3.14159265358979323846", "-0.0"]


@pytest.mark.parametrize("file", ["empty.json", "not-json.json", "truncated.json", "patient-latin1.json"])
def test_refused_fhir_is_no_json(file):
    """No JSON reader takes these files."""
    with pytest.raises(ValueError):
        json.loads((FHIR / file).read_bytes().decode("utf-8"))


def test_attachments_decode_to_their_size():
    """Attachments are base64 of UTF-8 text of the stated length."""
    bundle = json.loads((FHIR / "bundle-collection-notes.json").read_bytes())
    resources = {e["resource"]["resourceType"]: e["resource"] for e in bundle["entry"]}
    report = resources["DiagnosticReport"]["presentedForm"][0]
    letter = resources["DocumentReference"]["content"][0]["attachment"]

    for form, phrase in ((report, "Acute appendicitis"), (letter, "病人没有胸痛")):
        data = base64.b64decode(form["data"], validate=True)
        assert len(data) == form["size"]
        assert phrase in data.decode("utf-8")
