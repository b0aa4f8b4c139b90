"""FHIR R4 transaction Bundles: a patient with a laboratory result or a document."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from adapters.replay.generate.hospital import Turn
from adapters.replay.generate.laboratory import ANALYTES
from adapters.replay.generate.notes import note
from engine.fhir.invariants import UCUM

_LOINC = "http://loinc.org"
_FLAGS = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
_MARK = "decimal:"
_DECIMAL = re.compile(rf'"{_MARK}([\d.]+)"')
"""A value is written as marked text and unquoted at the end: a float would turn 9.10 into 9.1."""

_GENDERS = {"M": "male", "F": "female"}


def build(turn: Turn) -> bytes:
    """A Bundle as compact JSON in UTF-8. Its identifier is the control id."""
    patient = _patient(turn)
    subject = {"reference": f"Patient/{patient['id']}"}
    other = _document(turn, subject) if turn.chance.happens(0.4) else _observation(turn, subject)
    bundle = {
        "resourceType": "Bundle",
        "identifier": {"system": "urn:example:kgh:bundles", "value": turn.number},
        "type": "transaction",
        "entry": [
            {
                "fullUrl": f"https://fhir.kgh.example.org/{r['resourceType']}/{r['id']}",
                "resource": r,
                "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"},
            }
            for r in (patient, other)
        ],
    }
    text = json.dumps(bundle, ensure_ascii=False, separators=(",", ":"))
    return _DECIMAL.sub(r"\1", text).encode()


def _patient(turn: Turn) -> dict[str, Any]:
    person, chance = turn.chart.person, turn.chance
    names = [{"family": person.name.family, "given": [person.name.given], "prefix": [person.name.prefix]}]
    if person.name.simplified:
        names.append({"family": person.name.simplified[0], "given": [person.name.simplified[1]]})
    resource: dict[str, Any] = {
        "resourceType": "Patient",
        "id": f"kgh-{person.mrn}",
        "identifier": [
            {"system": "urn:example:kgh:mrn", "value": person.mrn},
            {"system": "urn:example:sg-test", "value": person.national_id},
        ],
        "name": names,
        "telecom": [{"system": "phone", "value": f"+65 {person.mobile}", "use": "mobile"}],
    }
    if not chance.happens(turn.rates.empty):
        resource["gender"] = _GENDERS[person.sex]
    if not chance.happens(turn.rates.empty):
        resource["birthDate"] = f"{person.birth[:4]}-{person.birth[4:6]}-{person.birth[6:]}"
    return resource


def _observation(turn: Turn, subject: dict[str, str]) -> dict[str, Any]:
    analyte = turn.chance.one(ANALYTES)
    value, flag = analyte.result(turn.chance)
    code = turn.code(analyte.loinc)
    system = _LOINC if code == analyte.loinc else "urn:example:kgh:new-analyser"
    return {
        "resourceType": "Observation",
        "id": f"lab-{turn.number}",
        "status": "final",
        "code": {"coding": [{"system": system, "code": code}]},
        "subject": subject,
        "effectiveDateTime": turn.at.isoformat(timespec="seconds"),
        "valueQuantity": {
            "value": f"{_MARK}{value}",
            "unit": analyte.unit,
            "system": UCUM,
            "code": analyte.unit,
        },
        "interpretation": [{"coding": [{"system": _FLAGS, "code": turn.code(flag)}]}],
    }


def _document(turn: Turn, subject: dict[str, str]) -> dict[str, Any]:
    lines = note(
        turn.chance,
        turn.chart.person,
        turn.visit().presentation,
        year=turn.at.year,
        shorthand=turn.chance.happens(turn.rates.shorthand),
    )
    data = base64.b64encode("\n".join(lines).encode()).decode("ascii")
    return {
        "resourceType": "DocumentReference",
        "id": f"doc-{turn.number}",
        "status": "current",
        "type": {"coding": [{"system": _LOINC, "code": "11506-3", "display": "Progress note"}]},
        "subject": subject,
        "date": turn.at.isoformat(timespec="seconds"),
        "content": [{"attachment": {"contentType": "text/plain; charset=utf-8", "data": data}}],
    }
