"""Problems, goals and pathways (PPR, PGL)."""

from __future__ import annotations

from mapped_resources import reference

PID = "PID|1||7^^^KGH^MR||Tan^Ah Kow"


def test_everything_stands_with_its_own_problem(fixture):
    """Pathway, goal, order, note, role and variance are the first problem's; the second has none of them."""
    result = fixture("ppr-pc1-problems")
    diabetes = result.numbered("Condition", "PRB-1")
    pressure = result.numbered("Condition", "PRB-2")
    goal, plan, order = result.one("Goal"), result.one("CarePlan"), result.one("ServiceRequest")
    assert goal["addresses"] == plan["addresses"] == order["reasonReference"] == [reference(diabetes)]
    about_problem, about_goal = sorted(
        result.of("Observation"), key=lambda o: o["valueQuantity"]["value"], reverse=True
    )
    assert about_problem["focus"] == [reference(diabetes)]
    assert goal["outcomeReference"] == [reference(about_goal)]
    assert [n["text"] for n in diabetes["note"]] == ["Diet alone has not been enough."]
    names = {e["url"].rpartition("/")[2] for e in diabetes["extension"]}
    assert {"variance", "participant"} <= names
    assert "note" not in pressure


def test_status_of_a_problem_follows_its_end(fixture):
    """con-4: with an end there is no active problem, and one status only; the status as sent is kept."""
    result = fixture("ppr-pc1-problems")
    status = lambda r: [c["code"] for c in r["clinicalStatus"]["coding"]]  # noqa: E731
    assert status(result.numbered("Condition", "PRB-1")) == ["active"]
    ended = result.numbered("Condition", "PRB-2")
    assert status(ended) == ["resolved"]
    assert ended["abatementDateTime"] == "2025-12-01"
    assert (ended["recordedDate"], result.numbered("Condition", "PRB-1")["onsetDateTime"]) == (
        "2015-01-01",
        "2019",
    )


def test_a_deleted_problem_is_entered_in_error(message):
    """PRB-1 = DE; con-5: it then has no clinical status."""
    result = message(
        "PPR^PC3^PPR_PC1", PID, "PV1|1|I", "PRB|DE|20260101|I10^Hypertension|P1^KGH||||||||||ACTIVE"
    )
    problem = result.one("Condition")
    assert problem["verificationStatus"]["coding"][0]["code"] == "entered-in-error"
    assert "clinicalStatus" not in problem


def test_goal_first_messages_link_the_other_way(fixture):
    """PGL: the problem and the pathway stand below their goal."""
    result = fixture("pgl-pc6-goals")
    goal = result.one("Goal")
    assert goal["addresses"] == [reference(result.one("Condition"))]
    assert result.one("CarePlan")["goal"] == [reference(goal)]
    assert (goal["startDate"], goal["target"][0]["dueDate"]) == ("2026-01-20", "2026-04-20")


def test_an_update_of_a_goal_keeps_its_id(message):
    """GOL-4 names the goal, whatever else changes."""
    make = lambda status: message(  # noqa: E731
        "PGL^PC7^PGL_PC6",
        PID,
        "PV1|1|I",
        f"GOL|UP|20260101|WALK^Walks|G1^KGH|||20260101|20260201||||||||||{status}",
    ).one("Goal")
    begun, achieved = make("ACTIVE"), make("ACHIEVED")
    assert begun["id"] == achieved["id"]
    assert (begun["lifecycleStatus"], achieved["lifecycleStatus"]) == ("active", "completed")
