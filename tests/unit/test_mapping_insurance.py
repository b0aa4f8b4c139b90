"""Insurance and guarantors: who is what to whom, and for how long."""

from __future__ import annotations

import pytest

HEAD = (
    "MSH|^~\\&|A|B|C|D|20260401101112||ADT^A01^ADT_A01|1|P|2.5.1\rEVN|A01|20260401101112\r"
    "PID|1||7^^^KGH^MR||Tan^Ah Kow|||||||||||||{account}\rPV1|1|I\r"
)
SUBSCRIBER = "http://terminology.hl7.org/CodeSystem/subscriber-relationship"


def codes(concept):
    return [(c.get("system", "").rpartition("/")[2], c["code"]) for c in concept["coding"]]


@pytest.mark.parametrize(
    ("insured_is", "patient_is"),
    [
        ("MTH", "child"),
        ("PAR", "child"),
        ("CHD", "parent"),
        ("SPO", "spouse"),
        ("SIB", "other"),
        ("SEL", "self"),
    ],
)
def test_coverage_tells_what_the_patient_is_to_the_insured(process, insured_is, patient_is):
    """IN1-17 tells it from the insured's side; R4 defines Coverage.relationship from the beneficiary's."""
    message = HEAD.format(account="") + f"IN1|1|P|I1|Insurer||||||||||||Lim^Mei|{insured_is}"
    result = process(message.encode())
    coverage = result.one("Coverage")
    assert ("subscriber-relationship", patient_is) in codes(coverage["relationship"])
    if patient_is != "self":
        assert coverage["subscriber"] == {"reference": f"RelatedPerson/{result.one('RelatedPerson')['id']}"}
    if patient_is in {"child", "parent", "other"}:
        # The sender's code means the other direction: it must not stand beside that one.
        assert len(coverage["relationship"]["coding"]) == 1
        assert any(code == insured_is for _, code in codes(result.one("RelatedPerson")["relationship"][0]))


def test_the_patients_own_relationship_wins_over_the_insureds(process):
    """IN2-72 says just what Coverage.relationship means, in codes of table 0344."""
    message = HEAD.format(account="") + "IN1|1|P|I1|Insurer||||||||||||Lim^Mei|OTH\rIN2" + "|" * 72 + "05"
    relationship = process(message.encode()).one("Coverage")["relationship"]
    assert codes(relationship) == [("subscriber-relationship", "child"), ("v2-0344", "05")]


def test_a_guarantor_answers_for_the_account_for_a_time(process):
    """GT1-13 and GT1-14 are the guarantor's term on the account; without an account they are the relation's."""
    guarantor = "GT1|1||Lim^Mei||||||||MTH||20260101|20261231"
    result = process((HEAD.format(account="ACC1^^^KGH^AN") + guarantor).encode())
    (found,) = result.one("Account")["guarantor"]
    assert found["period"] == {"start": "2026-01-01", "end": "2026-12-31"}
    assert result.get(found["party"])["name"][0]["family"] == "Lim"
    alone = process((HEAD.format(account="") + guarantor).encode()).one("RelatedPerson")
    assert alone["period"] == {"start": "2026-01-01", "end": "2026-12-31"}
