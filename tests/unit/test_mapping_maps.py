"""``wardstream maps``: what a site's engineer sees of the tables, and what an overlay can do without Python."""

import json

import pytest
from typer.testing import CliRunner

from adapters.cli import app, main
from engine.feeds import FeedProfile
from engine.hl7v2 import er7
from engine.mapping.check import check
from engine.mapping.mapper import Mapper

RULES = "source,when,target,using,codes,value,note\n"
MESSAGES = "structure,group,segment,when,resource,name,mode,map,id,links,note\n"
CODES = "code,to,display,system,note\n"


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def run(*arguments):
    return CliRunner().invoke(app, ["maps", *map(str, arguments)])


def test_the_tables_that_ship_have_no_fault():
    """What we deliver passes our own check."""
    assert [str(fault) for fault in check()] == []


def test_check_tells_every_fault_with_file_and_line_not_only_the_first(tmp_path):
    """One run shows all there is to mend, in every kind of file, and rows that could never do anything."""
    write(
        tmp_path,
        {
            "segments/PID-Patient.csv": f"#: type: Patient\n{RULES}PID-8,,sex,,,,\nPID-7,,birthDate,,,,\nPID-9,PID-9 is,gender,,,,\n",
            "segments/ZPI-Patient.csv": f"#: type: Patient\n{RULES}ZPI-1,,multipleBirthInteger,,,two,\n",
            "segments/PV1-Encounter.csv": "source;target\nPV1-2;class\nPV1-3;class\n",
            "segments/NK1-RelatedPerson.csv": f'{RULES}NK1-2,,name,"XPN-HumanName,,,\n',
            "datatypes/XYZ-Period.csv": f"#: type: Perid\n{RULES}XYZ.1,,start,,,,\n",
            "codes/AdministrativeSex.csv": f"{CODES}J,jedi,,,\n,male,,,\n",
            "codes/Orphan.csv": f"{CODES}A,a,,,\n",
            "messages/site.csv": f"{MESSAGES}ADT_X99,,ZPI,,Patient,,add,,,,\nADT_A01,NOWHERE,ZPI,,Patient,,add,,,,\n,,PID,,Patiant,,,,,,\n",
            "systems.csv": "name,system,note\nLAB,,\n",
            "authorities.csv": "name,system,note\nKGH,not-a-uri,\n",
            "messages/old.csv": f"{MESSAGES}".encode("utf-16"),
            "segmants/PID-Patient.csv": RULES,
            "codes/AdministrativeSex.xlsx": "x",
            "README.md": "the site's notes",
        },
    )

    result = run("check", "--overlay", tmp_path)

    told = {line.split(": ")[0].removeprefix(f"{tmp_path}/") for line in result.stdout.splitlines()}
    assert told == {
        "segments/PID-Patient.csv:3",
        "segments/PID-Patient.csv:5",
        "segments/ZPI-Patient.csv:3",
        "segments/PV1-Encounter.csv:1",
        "segments/NK1-RelatedPerson.csv:2",
        "datatypes/XYZ-Period.csv:3",
        "codes/AdministrativeSex.csv:2",
        "codes/AdministrativeSex.csv:3",
        "codes/Orphan.csv:2",
        "messages/site.csv:2",
        "messages/site.csv:3",
        "messages/site.csv:4",
        "systems.csv:2",
        "authorities.csv:2",
        "messages/old.csv:1",
        "segmants",
        "codes/AdministrativeSex.xlsx",
    }
    assert result.exit_code == 1


def test_a_sound_overlay_exits_0_and_a_wrong_call_2(tmp_path, monkeypatch, capsys):
    """A pipeline of a site can rely on the status."""
    write(tmp_path, {"segments/PID-Patient.csv": f"#: type: Patient\n{RULES}PID-17,,-,,,,not kept here\n"})
    assert run("check", "--overlay", tmp_path).exit_code == 0
    for arguments in (["check", "--overlay", "nowhere"], ["show", "PID-x"], ["show", "CX.4"], ["shwo"]):
        monkeypatch.setattr("sys.argv", ["wardstream", "maps", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2, arguments
    assert "--overlay" in capsys.readouterr().err


def shown(*arguments):
    return [json.loads(line) for line in run("show", *arguments, "--json").stdout.splitlines()]


def test_show_names_target_row_and_code_table_of_a_field():
    """PID-8: which element, which row of which file, which codes."""
    (way,) = shown("PID-8")
    assert way["target"] == "Patient.gender"
    assert way["codes"] == "AdministrativeSex"
    file, _, line = way["place"].rpartition(":")
    from engine.mapping.tables import builtin

    row = (builtin() / file).read_text(encoding="utf-8").splitlines()[int(line) - 1]
    assert row.startswith("PID-8,,gender,")
    assert any(m["place"].startswith("messages/") for m in way["messages"])
    assert "M=male" in run("show", "pid-8").stdout


def test_show_follows_a_component_into_the_data_type_tables():
    """PID-3.4.2 goes by the table of CX and the table of HD; a component that no row takes is not claimed."""
    (way,) = shown("PID-3.4.2")
    assert way["target"] == "Patient.identifier"
    targets = {inner["target"] for inner in way["inner"]}
    assert {"Identifier.system", "Identifier.assigner"} <= targets
    assigner = next(inner for inner in way["inner"] if inner["target"] == "Identifier.assigner")
    assert {deep["source"] for deep in assigner["inner"]} == {"HD.2"}
    assert shown("PID-8.2") == []
    assert "reported as unmapped" in run("show", "PID-8.2").stdout


def test_show_of_a_segment_and_of_an_unknown_one():
    """OBX lists its fields and the rows that make resources; ZZZ says that nothing is made."""
    page = run("show", "OBX").stdout
    assert "OBX-11 -> Observation.status" in page
    assert "Makes or completes" in page
    assert "makes no resource" in run("show", "ZZZ").stdout


OVERLAY = {
    "segments/ZPI-Patient.csv": (
        f"#: type: Patient\n{RULES}"
        "ZPI-1,,extension(https://kgh.example/ward-phone).valueString,,,,\n"
        "ZPI-2,ZPI-2 != 'NONE',contact[z].name.text,,,,guardian\n"
        "ZPI-3,,extension(ws:diet).valueCodeableConcept,CWE-CodeableConcept,,,\n"
    ),
    "segments/ZBD-Observation.csv": (
        f"#: type: Observation\n{RULES}"
        "ZBD-1,,code,CWE-CodeableConcept,,,\nZBD-2,,valueString,,,,\n,,status,,,final,\n"
    ),
    "messages/site.csv": (
        f"{MESSAGES},,ZPI,,Patient,,add,,,,\n"
        "ADT_*,,ZBD,,Observation,,,,ref(Patient) code(ZBD-1),subject=Patient; encounter=Encounter,\n"
    ),
    "codes/AdministrativeSex.csv": f"{CODES}A,unknown,,,the site's use\nX,other,,,a code of its own\nO,-,,,not used here\n",
}
MESSAGE = (
    "MSH|^~\\&|A|KGH|||20260101||ADT^A01|1|P|2.5.1\r"
    "PID|1||7^^^KGH^MR||||19800101|{sex}\r"
    "PV1|1|I\r"
    "ZPI|6000 0000|Tan Ah Kow|VEG^Vegetarian^L\r"
    "ZBD|BED^Bed type^L|bariatric\r"
)


def mapped(folder, sex):
    return Mapper(folder).map(er7.parse(MESSAGE.format(sex=sex)), FeedProfile())


def test_an_overlay_sends_z_segments_anywhere_and_adds_message_rows(tmp_path):
    """Elements, extensions and whole resources from Z-segments, with references, by CSV alone."""
    write(tmp_path, OVERLAY)
    assert check(tmp_path) == []
    found = mapped(tmp_path, "A")
    patient = next(r for r in found.resources if r["resourceType"] == "Patient")
    assert {"url": "https://kgh.example/ward-phone", "valueString": "6000 0000"} in patient["extension"]
    assert patient["contact"] == [{"name": {"text": "Tan Ah Kow"}}]
    diet = next(e for e in patient["extension"] if e["url"].endswith("/diet"))
    assert diet["valueCodeableConcept"]["coding"][0]["code"] == "VEG"
    bed = next(r for r in found.resources if r["resourceType"] == "Observation")
    assert bed["valueString"] == "bariatric"
    assert bed["subject"] == {"reference": f"Patient/{patient['id']}"}
    assert bed["encounter"]["reference"].startswith("Encounter/")
    assert not [u for u in found.unmapped if u.location.startswith("Z")]


@pytest.mark.parametrize(("sex", "gender"), [("A", "unknown"), ("X", "other"), ("M", "male")])
def test_an_overlay_changes_and_adds_rows_of_a_code_table(tmp_path, sex, gender):
    """The site's row wins; what it does not name stays as it ships."""
    found = mapped(write(tmp_path, OVERLAY), sex)
    patient = next(r for r in found.resources if r["resourceType"] == "Patient")
    assert patient["gender"] == gender


def test_an_overlay_takes_a_code_row_out(tmp_path):
    """A code whose row was taken out is unknown: reported, kept beside the element, never guessed."""
    found = mapped(write(tmp_path, OVERLAY), "O")
    patient = next(r for r in found.resources if r["resourceType"] == "Patient")
    assert "gender" not in patient
    assert "alternate-codes" in json.dumps(patient["_gender"])
    assert ("AdministrativeSex", "O") in found.unknown_codes
    assert "code-unknown" in {issue.code for issue in found.issues}


def test_show_tells_what_the_overlay_changed(tmp_path):
    """The rows of the site are named by their whole path."""
    write(tmp_path, OVERLAY)
    (way,) = shown("ZPI-2", "--overlay", tmp_path)
    assert way["place"] == f"{tmp_path}/segments/ZPI-Patient.csv:4"
    assert (way["when"], way["note"]) == ("ZPI-2 != 'NONE'", "guardian")
    assert [m["place"] for m in way["messages"]] == [f"{tmp_path}/messages/site.csv:2"]
