"""The generator makes valid, varied, coherent traffic, and a shift is a shift."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import pytest
from fhir.resources.R4B import get_fhir_model_class
from hl7apy.exceptions import ValidationError
from hl7apy.parser import parse_message

from adapters.replay.generate import DEFAULT_BASE, KINDS, adt_a01, generate, oru_with
from engine.errors import SettingsError

HL7_KINDS = [kind for kind in KINDS if kind != "fhir"]
CODECS = {
    "": "utf-8",
    "UNICODE UTF-8": "utf-8",
    "8859/1": "iso8859-1",
    "GB 18030-2000": "gb18030",
    "BIG-5": "big5",
}


@dataclass(frozen=True)
class Message:
    """A generated message, split with nothing but ``str.split``: the generator uses the usual delimiters."""

    text: str
    charset: str

    @property
    def segments(self) -> list[list[str]]:
        return [line.split("|") for line in self.text.split("\r") if line]

    @property
    def msh(self) -> list[str]:
        return ["MSH", *self.segments[0]]  # so that index n is field n

    @property
    def event(self) -> str:
        return "^".join(self.msh[9].split("^")[:2])

    @property
    def mrn(self) -> str:
        return self.field("PID", 3).split("^")[0]

    def field(self, segment: str, number: int) -> str:
        found = next((s for s in self.segments if s[0] == segment), [])
        return found[number] if number < len(found) else ""

    def all(self, segment: str, number: int) -> list[str]:
        return [s[number] if number < len(s) else "" for s in self.segments if s[0] == segment]


def read(raw: bytes) -> Message:
    header = raw.split(b"\r", 1)[0].split(b"|")
    charset = header[17].decode() if len(header) > 17 else ""
    return Message(raw.decode(CODECS[charset]), charset)


def stream(kinds: list[str], count: int, seed: int = 11, **options) -> list[Message]:
    return [read(raw) for raw in generate(kinds, count, seed, **options)]


# --- the same everywhere ----------------------------------------------------------------------------------


def test_bytes_are_pinned():
    """A seed gives the same bytes on every platform and Python version; a change of them is made on purpose."""
    digest = hashlib.sha256()
    for raw in generate(KINDS, 300, 20260105, shift_at=200):
        digest.update(raw)

    assert digest.hexdigest() == "9835c7fbc846068383401beae85f4f0cf24118d6db888cf664f7cc04f8ff489c"


# --- valid ------------------------------------------------------------------------------------------------


def faults(message: Message, report) -> list[str]:
    """Errors hl7apy finds, without those it is known to be wrong about."""
    text = message.text
    if message.msh[9].count("^") < 2:
        # v2.3 has no MSH-9.3: hl7apy looks for a structure of the event's own name, so show it the one that it shares.
        shared = {"A04": "A01", "A08": "A01", "A28": "A01", "A31": "A01", "A11": "A09", "A40": "A39"}
        trigger = message.event[-3:]
        text = text.replace(f"|ADT^{trigger}|", f"|ADT^{shared.get(trigger, trigger)}|", 1)
    with contextlib.suppress(ValidationError):  # the report has all errors, the exception the first
        parse_message(text, find_groups=True).validate(report_file=str(report))
    lines = report.read_text(encoding="utf-8").splitlines()
    # hl7apy wants all alternatives of ORM's ORDER_DETAIL choice at once.
    choice = re.compile(r"ORM_O01_(CHOICE|OBRRQDRQ1RXOODSODT_SUPPGRP)\.")
    return [line for line in lines if line.startswith("Error") and not choice.search(line)]


@pytest.mark.parametrize("kind", HL7_KINDS)
def test_messages_satisfy_an_independent_judge(kind, tmp_path):
    """Structure, cardinality and data types are those of each message's own version, by hl7apy's tables."""
    found = [
        (n, message.msh[12], fault)
        for n, message in enumerate(stream([kind], 40))
        for fault in faults(message, tmp_path / f"{n}.txt")
    ]

    assert found == []


def test_bundles_satisfy_an_independent_judge():
    """FHIR Bundles are valid by fhir.resources' R4B models, and their requests agree with their resources."""
    for raw in generate(["fhir"], 40, 11):
        bundle = json.loads(raw)
        get_fhir_model_class("Bundle").model_validate(bundle)
        for entry in bundle["entry"]:
            assert entry["request"]["url"] == f"{entry['resource']['resourceType']}/{entry['resource']['id']}"
            assert entry["fullUrl"].endswith(entry["request"]["url"])


def test_decimals_in_bundles_keep_their_digits():
    """Values end in zeros as often as chance has it: they did not go through a float."""
    raw = b"".join(generate(["fhir"], 400, 11)).decode()
    values = [Decimal(v) for v in re.findall(r'"value":(\d+\.\d+)', raw)]

    assert any(str(value).endswith("0") and value.as_tuple().exponent == -2 for value in values)


def test_flags_agree_with_value_and_interval():
    """L and H mean what the reference interval beside them says."""
    for message in stream(["oru"], 150):
        for obx in (s for s in message.segments if s[0] == "OBX" and s[2] == "NM"):
            low, high = [Decimal(0), *map(Decimal, re.findall(r"[\d.]+", obx[7]))][-2:]
            value = Decimal(obx[5])
            # The value is rounded after it is judged, so that it may lie on the bound.
            if obx[8] in {"H", "HH"}:
                assert value >= high
            elif obx[8] in {"L", "LL"}:
                assert value <= low
            else:
                assert low <= value <= high


# --- varied -----------------------------------------------------------------------------------------------


def test_stream_is_varied():
    """Versions, character sets, events, nulls, repetitions, escapes and local segments all occur."""
    messages = stream(HL7_KINDS, 600)
    text = "\r".join(message.text for message in messages)

    assert {message.msh[12] for message in messages} == {"2.3", "2.4", "2.5.1", "2.7"}
    assert {message.charset for message in messages} == set(CODECS)
    assert {f"ADT^{e}" for e in ("A01", "A02", "A03", "A04", "A08", "A11", "A28", "A31", "A40")} < {
        message.event for message in messages
    }
    assert {"ORU^R01", "ORM^O01", "MDM^T02", "MDM^T08"} < {message.event for message in messages}
    assert '|""|' in text
    assert "\\T\\" in text
    assert "\rZKG|" in text
    assert any(message.field("PID", 13).count("~") for message in messages)
    assert {"H", "L", "HH", "N"} <= {flag for message in messages for flag in message.all("OBX", 8)}


def test_chinese_names_set_trail_byte_traps():
    """Among Big5 and GB 18030 names some end in a backslash or bar, or the traps would never be met."""
    raw = [m for m in generate(["adt"], 1500, 3) if b"|BIG-5" in m or b"|GB 18030" in m]

    assert any(re.search(rb"[\x81-\xfe][\\|]", message) for message in raw)


@pytest.mark.parametrize(
    "phrase",
    [r"Family history: \w+ had", r"No [\w ]+ or [\w ]+\.", r"was ruled out", r"\d+ mg (OM|ON|BD|TDS)", r"CRP \d+ mg/L", r"[一-鿿]"],
)  # fmt: skip
def test_notes_hold_what_a_reader_must_tell_apart(phrase):
    """Negations, family history, doses, test values and other scripts are in the notes."""
    texts = ["\n".join(message.all("OBX", 5)) for message in stream(["mdm"], 80)]

    assert sum(bool(re.search(phrase, text)) for text in texts) >= 5


# --- coherent ---------------------------------------------------------------------------------------------


def test_patients_stay_themselves():
    """One number is one person, whatever system sends: name, birth and sex never change."""
    seen = defaultdict(set)
    for message in stream(HL7_KINDS, 500, patients=12):
        for number in (7, 8):
            if value := message.field("PID", number):
                seen[message.mrn, number].add(value)

    assert len({mrn for mrn, _ in seen}) == 12
    assert {key: values for key, values in seen.items() if len(values) != 1} == {}


def test_story_of_a_patient_is_in_order():
    """Nobody is discharged, moved or cancelled who was not admitted, and the visit stays the same between."""
    visits: dict[str, str] = {}
    for message in stream(["adt"], 800, patients=20):
        event, visit = message.event[-3:], message.field("PV1", 19)
        if event in {"A01", "A04"}:
            assert message.mrn not in visits
            visits[message.mrn] = visit
        elif event in {"A02", "A03", "A08", "A11"}:
            assert visits.get(message.mrn) == visit
            if event in {"A03", "A11"}:
                del visits[message.mrn]


def test_results_answer_orders():
    """Placer numbers of results are those of orders sent before, as far as there were any, and none twice."""
    ordered, answered = set(), Counter()
    for message in stream(["orm", "oru"], 400, patients=10):
        if message.event == "ORM^O01" and message.field("ORC", 1) == "NW":
            ordered.update((message.mrn, placer) for placer in message.all("ORC", 2))
        elif message.event == "ORU^R01":
            answered.update((message.mrn, placer) for placer in message.all("OBR", 2))

    assert max(answered.values()) == 1
    assert len(ordered & set(answered)) > 50


def test_time_only_moves_forward():
    """MSH-7 never goes back, begins after the base, and nothing reads a clock."""
    times = [message.msh[7][:14] for message in stream(HL7_KINDS, 300)]

    assert times == sorted(times)
    assert times[0] > DEFAULT_BASE.strftime("%Y%m%d%H%M%S")


def test_no_national_identifier_could_be_real():
    """Every NRIC-like number ends in X, which is no check letter of the S and T series."""
    text = "\r".join(message.text for message in stream(HL7_KINDS, 300))

    assert {number[-1] for number in re.findall(r"\b[STFGM]\d{7}[A-Z]\b", text)} == {"X"}
    assert not re.search(r"\b[FGM]\d{7}[A-Z]\b", text)


# --- shifted ----------------------------------------------------------------------------------------------


def unreadable(raw: bytes) -> bool:
    """What no reader can accept: no header, a header cut off, or bytes that are not in the declared set."""
    if raw.startswith(b"{"):
        try:
            json.loads(raw)
        except ValueError:
            return True
        return False
    if not raw.startswith(b"MSH|^~\\&"):
        return True
    try:
        read(raw)
    except UnicodeDecodeError:
        return True
    return False


def rates(messages: list[bytes]) -> tuple[float, float, float]:
    """(unreadable, with empty sex or date of birth, with a novel code), each as a part of the messages."""
    good = [raw for raw in messages if not unreadable(raw)]
    hl7 = [read(raw) for raw in good if raw.startswith(b"MSH")]
    empty = sum(not (message.field("PID", 7) and message.field("PID", 8)) for message in hl7)
    novel = sum(b"NX" in raw for raw in good)
    return 1 - len(good) / len(messages), empty / len(hl7), novel / len(good)


def test_shift_changes_the_rates():
    """After the shift messages are broken, required fields empty and codes unknown; before it hardly or not at all."""
    messages = list(generate(KINDS, 1200, 5, shift_at=600))
    before, after = rates(messages[:600]), rates(messages[600:])

    assert (before[0], before[2]) == (0, 0)
    assert before[1] < 0.1
    assert 0.08 < after[0] < 0.25
    assert after[1] > 0.7
    assert after[2] > 0.7


def test_notes_shift_to_shorthand():
    """The reader of notes meets another style after the shift."""
    raw = list(generate(["mdm"], 400, 5, shift_at=200))
    texts = [read(message).text if not unreadable(message) else "" for message in raw]
    shorthand = ["c/o" in text for text in texts]

    assert sum(shorthand[:200]) < 30
    assert sum(shorthand[200:]) > 100


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_broken_without_a_shift(kind):
    """Load tests may count on every message being readable."""
    assert not any(unreadable(raw) for raw in generate([kind], 300, 9))


# --- single messages and wrong calls ----------------------------------------------------------------------


@pytest.mark.parametrize("n_obx", [0, 1, 10, 200])
def test_results_of_a_chosen_size(n_obx):
    """A benchmark gets as many OBX as it asks for, numbered in order."""
    message = read(oru_with(n_obx, 4))

    assert message.all("OBX", 1) == [str(n) for n in range(1, n_obx + 1)]


def test_single_admissions_differ_by_patient():
    """A load test with one patient a seed spreads over all partitions."""
    messages = [read(adt_a01(seed)) for seed in range(50)]

    assert len({message.mrn for message in messages}) == 50
    assert {message.event for message in messages} == {"ADT^A01"}


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((["adt", "xyz"], 1, 1), {}),
        (([], 1, 1), {}),
        ((["adt"], -1, 1), {}),
        ((["adt"], 1, 1), {"shift_at": -1}),
        ((["adt"], 1, 1), {"patients": 0}),
        ((["adt"], 1, 1), {"base": datetime(2026, 1, 5)}),  # noqa: DTZ001 - a naive time is the case
    ],
)
def test_wrong_calls_fail_before_the_first_message(arguments, options):
    """The person at the command line is told what to change, at once."""
    with pytest.raises(SettingsError) as failure:
        generate(*arguments, **options)

    assert failure.value.action
