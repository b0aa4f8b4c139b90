"""The language of the mapping tables: conditions, paths, and faults told with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import MapTableError
from engine.feeds import FeedProfile
from engine.hl7v2 import er7
from engine.hl7v2.structure import group_segments
from engine.hl7v2.tree import EMPTY
from engine.mapping.expressions import ExpressionError, compile_condition
from engine.mapping.mapper import Mapper
from engine.mapping.paths import PathError, compile_target
from engine.mapping.run import Run

TEXT = 'MSH|^~\\&|A|KGH|||20260101||ORU^R01|1|P|2.5.1\rPID|1||7^^^H^MR~8||Tan^Ah||""|F\rORC|RE|P1\rOBR|1|P1\rOBX|1|TX|A^a||one\rOBX|2|TX|A^a||two\rNTE|1||note'


@pytest.fixture(scope="module")
def mapper():
    return Mapper()


def holds(mapper, condition: str, segment_id: str, nth: int = 1) -> bool:
    message = er7.parse(TEXT)
    run = Run(mapper, message, group_segments(message), FeedProfile())
    segment = next(s for s in message.segments if s.id == segment_id and s.occurrence == nth)
    return compile_condition(condition, segment_id)(EMPTY, segment, run)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("PID-8 valued", True),
        ("PID-8 not valued", False),
        ("PID-7 valued", False),  # the explicit null is no value
        ("PID-30 valued", False),
        ("PID-8 = 'F'", True),
        ("PID-8 != 'F'", False),
        ("PID-3.5 in ('MR', 'PI')", True),
        ("PID-3.5 not in ('MR', 'PI')", False),
        ("PID-5.1 ~ '^T'", True),
        ("count(PID-3) > 1", True),
        ("count(PID-3) = 1", False),
        ("count(PID-30) < 1", True),
        ("MSH-9.2 = 'R01' and PID-8 = 'F'", True),
        ("PID-8 = 'M' or PID-5.2 = 'Ah'", True),
        ("not (PID-8 = 'M' or PID-8 = 'U')", True),
        ("PID-8 = 'M' or PID-8 = 'F' and PID-30 valued", False),
    ],
)
def test_conditions(mapper, condition, expected):
    """Each test of the language on one patient segment."""
    assert holds(mapper, condition, "PID") is expected


def test_conditions_on_neighbours(mapper):
    """Another segment's field means the nearest one; notes and continued texts know what is before them."""
    assert holds(mapper, "ORC-2 = 'P1'", "OBR")
    assert holds(mapper, "PID-8 = 'F'", "OBX")
    assert holds(mapper, "after OBX", "NTE")
    assert not holds(mapper, "after OBR", "NTE")
    assert not holds(mapper, "continues", "OBX", 1)
    assert holds(mapper, "continues", "OBX", 2)


@pytest.mark.parametrize(
    "condition",
    ["", "PID-3", "PID-3 is", "PID-3 = F", "PID-3 in 'A'", "PID-3 in ('A'", "and", "PID-3 valued PID-4 valued",
     "PID-3 ~ '('", "count(PID-3) = 'x'", "(PID-3 valued", "after", "PID-3 not empty", "$"],
)  # fmt: skip
def test_wrong_conditions_are_refused(condition):
    """A condition that can't be read never runs as something else."""
    with pytest.raises(ExpressionError):
        compile_condition(condition, "PID")


@pytest.mark.parametrize(
    ("root", "path", "kind"),
    [
        ("Patient", "gender", "code"),
        ("Patient", "name", "HumanName"),
        ("Patient", "contact[a].name.family", "string"),
        ("Patient", "extension(patient-citizenship).extension(code).valueCodeableConcept", "CodeableConcept"),
        ("Patient", "birthDate.extension(patient-birthTime).valueDateTime", "dateTime"),
        ("Observation", "component[r*].valueQuantity", "Quantity"),
        ("Encounter", "hospitalization.dischargeDisposition", "CodeableConcept"),
    ],
)
def test_paths_know_their_type(root, path, kind):
    """A path is checked against FHIR R4 when it is read."""
    assert compile_target(root, path).type == kind


@pytest.mark.parametrize(
    ("root", "path"),
    [("Patient", "sex"), ("Patient", "name.given.x"), ("Patient", "extension(x)"), ("Patient", "name..given"),
     ("Nothing", "x"), ("Observation", "valueText"), ("Patient", "name[")],
)  # fmt: skip
def test_wrong_paths_are_refused(root, path):
    """An element that R4 does not have is a fault of the table, found at start."""
    with pytest.raises(PathError):
        compile_target(root, path)


def test_rows_with_one_label_write_into_one_item():
    """Labels join what belongs together; without one each value is an item of its own."""
    root: dict = {}
    items: dict = {}
    compile_target("Encounter", "participant[a].individual.display").place(root, items, "x", 1)
    compile_target("Encounter", "participant[a].type").place(root, items, {"text": "t"}, 1)
    compile_target("Encounter", "participant[b].individual.display").place(root, items, "y", 1)
    assert root == {
        "participant": [
            {"individual": {"display": "x"}, "type": [{"text": "t"}]},
            {"individual": {"display": "y"}},
        ]
    }


def test_starred_labels_make_one_item_a_repetition():
    """``[a*]`` keeps the second repetition apart from the first."""
    root: dict = {}
    items: dict = {}
    target = compile_target("Encounter", "participant[a*].individual.display")
    target.place(root, items, "x", 1)
    target.place(root, items, "y", 2)
    assert [p["individual"]["display"] for p in root["participant"]] == ["x", "y"]


def test_an_element_keeps_its_first_value_and_a_choice_its_first_type():
    """A second value has no place; the caller reports it."""
    root: dict = {}
    assert compile_target("Observation", "valueString").place(root, {}, "x", 1)
    assert not compile_target("Observation", "valueString").place(root, {}, "y", 1)
    assert not compile_target("Observation", "valueQuantity").place(root, {}, {"value": 1}, 1)
    assert root == {"valueString": "x"}


def overlay(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return folder


HEADER = "source,when,target,using,codes,value,note\n"


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("PID-8,,sex,,,,", "no element 'sex'"),
        ("PID-8,PID-8 is,gender,,,,", "condition is wrong"),
        ("PV1-8,,gender,,,,", "not of segment PID"),
        ("PID-8,,gender,,Nothing,,", "no code table 'Nothing'"),
        ("PID-3,,identifier,,,,", "say in 'using'"),
        ("PID-3,,identifier,CX-Nothing,,,", "no data type table"),
        (",,gender,,,,", "neither a source nor a value"),
        (",,gender,,,girl,", "does not allow the code 'girl'"),
        ("PID-8,,gender,,,,,,", "9 cells"),
        ("PID-x,,gender,,,,", "source is wrong"),
        ("PID-8,,maritalStatus,,,M,", "no coding"),
    ],
)
def test_faults_of_a_table_name_file_line_and_what_is_wrong(tmp_path, row, says):
    """A site's engineer finds the row without help."""
    folder = overlay(tmp_path, "segments/PID-Patient.csv", f"# site\n#: type: Patient\n{HEADER}{row}\n")
    with pytest.raises(MapTableError) as caught:
        Mapper(folder)
    assert says in caught.value.message
    assert caught.value.location == f"{tmp_path}/segments/PID-Patient.csv:4"


def test_wrong_header_is_told(tmp_path):
    """A table with other columns is another table."""
    folder = overlay(tmp_path, "codes/X.csv", "a,b\n1,2\n")
    with pytest.raises(MapTableError, match="header row") as caught:
        Mapper(folder)
    assert caught.value.location == f"{tmp_path}/codes/X.csv:1"


def test_overlay_adds_changes_and_removes_rules(tmp_path):
    """A site maps its Z-segment, changes one field and drops another, without Python."""
    overlay(
        tmp_path,
        "segments/PID-Patient.csv",
        f"#: type: Patient\n{HEADER}PID-17,,-,,,,not kept here\nPID-27,,deceasedBoolean,,,,\n",
    )
    overlay(
        tmp_path,
        "segments/ZPI-Patient.csv",
        f"#: type: Patient\n{HEADER}ZPI-1,,extension(https://kgh.example/ward-phone).valueString,,,,\n",
    )
    overlay(
        tmp_path,
        "messages/site.csv",
        "structure,group,segment,when,resource,name,mode,map,id,links,note\n,,ZPI,,Patient,,add,,,,\n",
    )
    text = (
        "MSH|^~\\&|A|KGH|||20260101||ADT^A01|1|P|2.5.1\rPID|1||7||||||||||||||BUD||||||||||Y\rZPI|6000 0000\r"
    )
    mapped = Mapper(tmp_path).map(er7.parse(text), FeedProfile())
    patient = next(r for r in mapped.resources if r["resourceType"] == "Patient")
    assert patient["deceasedBoolean"] is True
    assert {"url": "https://kgh.example/ward-phone", "valueString": "6000 0000"} in patient["extension"]
    assert ("PID[1]-17", "not kept here") in {(u.location, u.reason) for u in mapped.unmapped}
