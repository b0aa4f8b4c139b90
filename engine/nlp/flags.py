"""Flags: what a clinician says of one finding of a reading. They are the topic feedback.flags, and the next training set.

A flag holds places, labels and who said it when; never words of the note, nor a free remark: both would be patient data.
The note is named by its id, which every resource read from it carries (``meta.source``), and so does ``POST /annotate``.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson

from engine.drift.telemetry import ALL_FEEDS, TELEMETRY
from engine.errors import ReadError
from engine.records import Assertion, Label, Publication

FLAGS = "feedback.flags"
MAX_USER_CHARS = 128
"""A login or a staff number; more is no name of a user."""
MAX_MODEL_CHARS = 256

_ACTION = "Send {note_id, start, end, verdict, label, ...}; docs/models.md, Flags, says what goes with each verdict."


class Verdict(StrEnum):
    """What is said of a finding."""

    RIGHT = "right"
    WRONG = "wrong"
    MISSED = "missed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Finding:
    """What stands at a place of a note: ``text[start:end]`` in code points, its label, and how it is meant."""

    start: int
    end: int
    label: Label
    assertion: Assertion | None = None

    def as_json(self) -> dict[str, Any]:
        told = {"start": self.start, "end": self.end, "label": self.label.value}
        return {**told, **({"assertion": self.assertion.value} if self.assertion else {})}


@dataclass(frozen=True, slots=True)
class Flag:
    """One person's word on one finding.

    Attributes:
        flag_id: a UUID of its own.
        note_id: of the note, a UUID.
        verdict: what is said.
        was: the finding as it was read; None if it was missed.
        should: what it should have been; None if there is nothing to find.
        user: who says so.
        time: when, aware UTC.
        model: ``id@version`` of the reader, "" if the person does not know.
    """

    flag_id: str
    note_id: str
    verdict: Verdict
    was: Finding | None
    should: Finding | None
    user: str
    time: datetime
    model: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "flag_id": self.flag_id,
            "note_id": self.note_id,
            "verdict": self.verdict.value,
            "was": self.was.as_json() if self.was else None,
            "should": self.should.as_json() if self.should else None,
            "user": self.user,
            "time": self.time.isoformat(),
            "model": self.model,
        }

    def to_publications(self) -> list[Publication]:
        """Its record and, if it says that a known reader erred, what drift of that reader is watched on."""
        found = self.was or self.should
        if self.verdict is Verdict.RIGHT or not self.model or found is None:
            return [self._record()]
        body = {
            "kind": "flag",
            "feed": ALL_FEEDS,
            "window": 0,
            "from": self.time.isoformat(),
            "to": self.time.isoformat(),
            "model": self.model,
            "label": found.label.value,
            "verdict": self.verdict.value,
        }
        headers = {"feed": ALL_FEEDS, "kind": "flag"}
        return [self._record(), Publication(TELEMETRY, self.model.encode(), orjson.dumps(body), headers)]

    def _record(self) -> Publication:
        """The key is the note's id, which is a hash of the note's place and text: flags of a note keep their order."""
        headers = {"content-type": "application/json"}
        return Publication(FLAGS, self.note_id.encode(), orjson.dumps(self.as_json()), headers)


_ASKED = frozenset(
    ("note_id", "start", "end", "verdict", "label", "assertion", "correct", "user", "model", "flag_id")
)
_CORRECT = frozenset(("start", "end", "label", "assertion"))


def flag_of(asked: Mapping[str, Any], *, user: str, time: datetime) -> Flag:
    """A flag from what a caller sent.

    ``asked`` has ``note_id``, ``start``, ``end``, ``verdict``, ``label`` and, if wanted, ``assertion``, ``model``,
    ``flag_id`` and ``user``, which counts if the argument is empty. For ``missed`` they tell what should have been found there.
    For ``changed`` the object ``correct`` has what is different: ``start``, ``end``, ``label``, ``assertion``.

    Raises:
        ReadError: a field is missing, wrong or unknown; its location is the field. No value is repeated.
    """
    _known(asked, _ASKED, "")
    verdict = Verdict(_one_of(asked, "verdict", Verdict))
    found = _finding(asked, "", None)
    correct = asked.get("correct")
    if (correct is not None) != (verdict is Verdict.CHANGED):
        raise _wrong("correct", "belongs to the verdict changed, and to it alone")
    was: Finding | None = found
    should: Finding | None = found
    if verdict is Verdict.CHANGED:
        if not isinstance(correct, Mapping):
            raise _wrong("correct", "is no object")
        _known(correct, _CORRECT, "correct.")
        should = _finding(correct, "correct.", found)
        if should == found:
            raise _wrong("correct", "changes nothing")
    elif verdict is Verdict.MISSED:
        was = None
    elif verdict is Verdict.WRONG:
        should = None
    return Flag(
        flag_id=_uuid(asked, "flag_id") if "flag_id" in asked else str(uuid.uuid4()),
        note_id=_uuid(asked, "note_id"),
        verdict=verdict,
        was=was,
        should=should,
        user=_name(user or asked.get("user"), "user", MAX_USER_CHARS),
        time=time.astimezone(UTC),
        model=_name(asked["model"], "model", MAX_MODEL_CHARS) if asked.get("model") else "",
    )


def flag_from_json(payload: bytes) -> Flag:
    """The flag of a record of the topic.

    Raises:
        ReadError: it is none.
    """
    try:
        told = orjson.loads(payload)
        was, should = (
            Finding(
                each["start"],
                each["end"],
                Label(each["label"]),
                Assertion(each["assertion"]) if "assertion" in each else None,
            )
            if each
            else None
            for each in (told["was"], told["should"])
        )
        return Flag(
            told["flag_id"],
            told["note_id"],
            Verdict(told["verdict"]),
            was,
            should,
            told["user"],
            datetime.fromisoformat(told["time"]),
            told.get("model", ""),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ReadError(
            "A record of feedback.flags is no flag",
            action="Only POST /feedback and 'wardstream flag' write there.",
        ) from error


def _finding(asked: Mapping[str, Any], where: str, like: Finding | None) -> Finding:
    """What is told of a finding; of what is not told it is ``like`` another."""
    start = _offset(asked, "start", where, like.start if like else None)
    end = _offset(asked, "end", where, like.end if like else None)
    if start >= end:
        raise _wrong(f"{where}end", "is not behind start")
    label = like.label if like and "label" not in asked else Label(_one_of(asked, "label", Label, where))
    if asked.get("assertion") is None:
        return Finding(start, end, label, like.assertion if like else None)
    return Finding(start, end, label, Assertion(_one_of(asked, "assertion", Assertion, where)))


def _offset(asked: Mapping[str, Any], name: str, where: str, otherwise: int | None) -> int:
    value = asked.get(name, otherwise)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _wrong(f"{where}{name}", "is no offset: a whole number from 0, counted in Unicode code points")
    return value


def _one_of(asked: Mapping[str, Any], name: str, kind: type[StrEnum], where: str = "") -> str:
    value = asked.get(name)
    known = [member.value for member in kind]
    if value not in known:
        raise _wrong(f"{where}{name}", f"is none of {', '.join(known)}")
    return str(value)


def _uuid(asked: Mapping[str, Any], name: str) -> str:
    """A UUID as it is usually written. Other names of notes might be names of patients, and are refused."""
    value = asked.get(name)
    try:
        return str(uuid.UUID(value.removeprefix("urn:uuid:")))  # type: ignore[union-attr]
    except (ValueError, AttributeError):
        raise _wrong(
            name, "is no UUID, as note_id of a reading and meta.source of what was read in a note are"
        ) from None


def _name(value: object, name: str, limit: int) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > limit:
        raise _wrong(name, f"is no printable text of 1 to {limit} characters")
    return value.strip()


def _known(asked: Mapping[str, Any], names: frozenset[str], where: str) -> None:
    if asked.keys() - names:
        # The name of a field may hold anything, too.
        raise _wrong(where.rstrip("."), f"has a field that is none of {', '.join(sorted(names))}")


def _wrong(where: str, what: str) -> ReadError:
    return ReadError(f"The flag's {where or 'object'} {what}", location=where, action=_ACTION)
