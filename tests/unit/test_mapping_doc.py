"""docs/mapping.md says what the tables do, and names every difference from the official maps with a reason."""

import runpy
from pathlib import Path

import pytest

from engine.mapping.differences import differences
from engine.mapping.tables import builtin, load

ROOT = Path(__file__).parents[2]
OFFICIAL = ROOT.parent / "shared" / "specs" / "v2-to-fhir" / "mappings"


def test_the_page_is_that_of_the_tables():
    """Whoever changes a row changes the page."""
    tool = runpy.run_path(str(ROOT / "tools" / "write_mapping_doc.py"))
    assert tool["PAGE"].read_text(encoding="utf-8") == tool["page"](), (
        "run: python tools/write_mapping_doc.py"
    )


def test_every_difference_has_a_reason():
    """A line or note that says that it differs says why."""
    assert [line for line in differences() if len(line.reason) < 10] == []
    tables = load(builtin())
    rows = [row for t in (*tables.segments.values(), *tables.datatypes.values()) for row in t.lines]
    notes = [row["note"] for row in [*rows, *tables.messages]]
    assert [note for note in notes if note.startswith("differs") and not note.partition(":")[2].strip()] == []


@pytest.mark.corpora
@pytest.mark.skipif(not OFFICIAL.is_dir(), reason="the official maps are not beside the project")
def test_no_official_row_is_left_out_without_a_reason(capsys):
    """Against HL7's own sheets: every row is done by a rule, or is in the list of differences; none is there in vain."""
    tool = runpy.run_path(str(ROOT / "tools" / "compare_official_maps.py"))
    rows = tool["official"](OFFICIAL)
    assert len(rows) > 1000
    missing = tool["missing"](OFFICIAL)
    assert len(missing) < len(rows) / 2, "the tables have not been read"
    known = differences()
    untold = [row for row in missing if not any(tool["_covers"](line, row) for line in known)]
    stale = [line for line in known if not any(tool["_covers"](line, row) for row in missing)]
    assert (untold, stale) == ([], [])
