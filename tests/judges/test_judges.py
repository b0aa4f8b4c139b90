"""Independent validators find nothing wrong with what is emitted, and would if something were."""

import json
import re
import subprocess

import pytest
from judging import CORPORA, HERE, ROOT, judge, write_generated

from engine.fhir.bundle import transaction

pytestmark = pytest.mark.judges


def verdicts(panel, tmp_path, bundles):
    """For each Bundle, by name, the judges that object to it; and all that was said."""
    lines = [
        {"source": {"path": name, "index": 0, "message_type": kind}, "bundle": transaction(resources)}
        for name, (kind, resources) in bundles.items()
    ]
    path = tmp_path / "converted.ndjson"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = subprocess.run([panel, HERE / "judge.mjs", path], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 1
    found = {name: set() for name in bundles}
    for judge_name, sources in re.findall(r"x (\w+): .*\n.*\n    (.*)", done.stdout):
        for source in sources.split(", "):
            found[source.removesuffix("#0")].add(judge_name)
    return found, done.stdout


PATIENT = {"resourceType": "Patient", "id": "p1", "gender": "female"}
OBSERVATION = {
    "resourceType": "Observation",
    "id": "o1",
    "status": "final",
    "code": {"text": "Glucose"},
    "subject": {"reference": "Patient/p1"},
}


FAULTS = {
    "code": ({"gender": "f"}, {"schema", "fhirjs"}),
    "date": ({"birthDate": "1980-13-01"}, {"medplum", "schema"}),
    "name": ({"surname": "Tan"}, {"medplum", "schema", "fhirjs"}),
    "invariant": ({"contact": [{"gender": "male"}]}, {"medplum"}),
    "array": ({"contact": []}, {"own"}),
    "object": ({"maritalStatus": {}}, {"own"}),
    "string": ({"name": [{"family": "  "}]}, {"own"}),
    "target": ({"generalPractitioner": [{"reference": "Patient/p1"}]}, {"medplum", "fhirjs"}),
    "contained": ({"managingOrganization": {"reference": "#none"}}, {"own"}),
    "dangling": ({"generalPractitioner": [{"reference": "Practitioner/none"}]}, {"own"}),
}


def test_each_fault_is_found_by_the_judges_who_look_for_it(panel, tmp_path):
    """The panel can say no; which judge sees which fault is what makes several worth their time."""
    bundles = {name: ("ADT^A01", [{**PATIENT, **wrong}]) for name, (wrong, _) in FAULTS.items()}
    bundles["good"] = ("ADT^A01", [PATIENT, OBSERVATION])
    bundles["of a FHIR sender whose server has the target"] = ("Patient", bundles["dangling"][1])
    found, said = verdicts(panel, tmp_path, bundles)
    assert {n for n, objectors in found.items() if not objectors} == bundles.keys() - FAULTS.keys(), said
    assert {n: sorted(e - found[n]) for n, (_, e) in FAULTS.items() if e - found[n]} == {}, said


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_no_judge_finds_anything_in_what_is_emitted(panel, tmp_path):
    """Fixtures, generated messages, mutated fixtures, and the corpora where they are."""
    write_generated(tmp_path)
    places = [ROOT / "fixtures" / "hl7v2", ROOT / "fixtures" / "fhir", tmp_path]
    places += [CORPORA] if CORPORA.is_dir() else []
    done = judge(places)
    assert done.returncode == 0, done.stdout + done.stderr
    totals = json.loads(done.stdout.splitlines()[-1])
    assert totals["bundles"] > 700
    if CORPORA.is_dir():
        assert totals["stale"] == 0, done.stdout
