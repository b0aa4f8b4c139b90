"""One finding, one FHIR R4 resource. None of them claims more than a machine may: see docs/extensions.md.

A status is chosen so that a reader who ignores every extension is still not misled: unconfirmed, preliminary,
unknown. What a note supposes, plans or tells of others gives no resource of the patient's.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from engine.fhir.invariants import UCUM
from engine.nlp.assertion import Context
from engine.nlp.attribution import Attribution, clean
from engine.nlp.dosing import dosages_of
from engine.nlp.kinfolk import told_of
from engine.nlp.quantities import Unit, Value, interpretation, quantity
from engine.nlp.series import values_of
from engine.nlp.terminology import Terminology
from engine.records import Assertion, Entity, Label

Json = dict[str, Any]

_CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
_VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
_ALLERGY_CLINICAL = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"
_ALLERGY_VERIFICATION = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification"
_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
_ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
_ABSENT_EXTENSION = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_TRANSLATION = "http://hl7.org/fhir/StructureDefinition/translation"
_ROLE = "http://terminology.hl7.org/CodeSystem/v3-RoleCode"

_MAX_BETWEEN_PARTS = 40  # characters; more is another statement
# "UFEME: WBC 120": the codes of the tables are those of blood.
_OTHER_SPECIMEN = re.compile(
    r"\W*(?:\w+\W+){0,3}(?:ufeme|urine|urinalysis|u/a|csf|cerebrospinal|pleural|ascitic|ascites|peritoneal|synovial|stool|sputum"
    r"|(?:drain|joint)[ ]fluid)\b",
    re.IGNORECASE,
)
_LOOK_BACK = 160  # characters: a line of results
BLOOD_PRESSURE = "85354-9"
_PRESSURES = ("systolic blood pressure", "diastolic blood pressure")
# R4 Observation.derivedFrom takes no other kind of source.
_DERIVES_FROM = ("DocumentReference/", "Observation/", "QuestionnaireResponse/", "Media/", "ImagingStudy/")

# Condition: (clinicalStatus, verificationStatus). A past disease may still be there, and a refuted one has no
# course: both leave clinicalStatus open, which R4 allows (con-3 binds problem list items only).
_CONDITION = {
    Assertion.PRESENT: ("active", "unconfirmed"),
    Assertion.POSSIBLE: ("", "provisional"),
    Assertion.NEGATED: ("", "refuted"),
    Assertion.HISTORICAL: ("", "unconfirmed"),
}
# MedicationStatement.status. A past mention does not tell whether it was stopped, so it is unknown.
_MEDICATION = {
    Assertion.PRESENT: "unknown",
    Assertion.POSSIBLE: "unknown",
    Assertion.HISTORICAL: "unknown",
    Assertion.NEGATED: "not-taken",
    Assertion.HYPOTHETICAL: "intended",
}
# Where a present medicine is more than a mention.
_MEDICATION_IN = {"medications": "active", "discharge-medications": "active", "plan": "intended"}
# Procedure.status. A mention does not tell that it was done; history and a list of operations do.
_PROCEDURE = {
    Assertion.PRESENT: "unknown",
    Assertion.POSSIBLE: "unknown",
    Assertion.HISTORICAL: "completed",
    Assertion.NEGATED: "not-done",
}
_PROCEDURE_IN = {"procedures": "completed", "past-surgical-history": "completed"}


class Builder:
    """Makes resources of the findings of one note."""

    def __init__(self, attribution: Attribution, terminology: Terminology) -> None:
        self._by = attribution
        self._terms = terminology

    def condition(self, entity: Entity) -> Json:
        """Condition (R4 §9.2)."""
        clinical, verification = _CONDITION[entity.assertion]
        if verification == "provisional" and entity.section == "differential-diagnosis":
            verification = "differential"
        found = self._start("Condition", entity)
        if clinical:
            found["clinicalStatus"] = _concept(_CLINICAL, clinical)
        found["verificationStatus"] = _concept(_VERIFICATION, verification)
        found |= {"code": self._code(entity), "subject": self._by.subject()}
        self._add(found, encounter=self._by.encounter(), recordedDate=self._by.written_at())
        found["evidence"] = [{"detail": [self._by.document()]}]
        return found

    def family_history(self, entity: Entity, context: Context) -> Json:
        """FamilyMemberHistory (R4 §9.6). A denied disease is a note, since no code can deny it there."""
        found = self._start("FamilyMemberHistory", entity)
        found |= {"status": "partial", "patient": self._by.subject()}
        self._add(found, date=self._by.written_at())
        found["relationship"] = _concept(_ROLE, context.kin)
        told = told_of(self._by.note.text, entity.start, entity.end)
        if told.died_at is not None:
            found["deceasedAge"] = _years(told.died_at)
        elif told.deceased:
            found["deceasedBoolean"] = True
        if entity.assertion is Assertion.NEGATED:
            found["note"] = [{"text": f"Denied in the source: {clean(entity.text)}"}]
        else:
            condition: Json = {"code": self._code(entity)}
            if told.died_of:
                condition["contributedToDeath"] = True
            if told.onset is not None:
                condition["onsetAge"] = _years(told.onset)
            elif told.onset_text:
                condition["onsetString"] = told.onset_text
            found["condition"] = [condition]
        return found

    def allergy(self, entity: Entity, effects: Sequence[Entity]) -> Json:
        """AllergyIntolerance (R4 §9.1). ait-1 asks for a clinicalStatus even where it is refuted."""
        denied = entity.assertion is Assertion.NEGATED
        found = self._start("AllergyIntolerance", entity, effects)
        found["clinicalStatus"] = _concept(_ALLERGY_CLINICAL, "inactive" if denied else "active")
        found["verificationStatus"] = _concept(_ALLERGY_VERIFICATION, "refuted" if denied else "unconfirmed")
        found |= {"category": ["medication"], "code": self._code(entity), "patient": self._by.subject()}
        self._add(found, encounter=self._by.encounter(), recordedDate=self._by.written_at())
        if effects and not denied:
            found["reaction"] = [{"manifestation": [self._code(effect) for effect in effects]}]
        return found

    def medication(self, entity: Entity, dosages: Sequence[Entity]) -> Json:
        """MedicationStatement (R4 §11.4), with one Dosage of all parts of the text."""
        status = _MEDICATION[entity.assertion]
        if entity.assertion is Assertion.PRESENT:
            status = _MEDICATION_IN.get(entity.section, status)
        found = self._start("MedicationStatement", entity, dosages)
        found |= {
            "status": status,
            "medicationCodeableConcept": self._code(entity),
            "subject": self._by.subject(),
        }
        self._add(found, context=self._by.encounter(), dateAsserted=self._by.written_at())
        found["derivedFrom"] = [self._by.document()]
        # "40 mg OM (increased from 20 mg)": what it was is no dosage.
        if entity.assertion is not Assertion.HISTORICAL:
            now = [part for part in dosages if part.assertion is not Assertion.HISTORICAL]
            dosages = now or dosages
        if dosages:
            found["dosage"] = dosages_of(clean(self._wording(entity, dosages)))
        return found

    def _wording(self, entity: Entity, parts: Sequence[Entity]) -> str:
        """The parts as the note has them, with the few characters between them: "10 mg to 20 mg a day"."""
        text = self._by.note.text
        wording = parts[0].text
        for before, part in pairwise(parts):
            between = text[before.end : part.start]
            # The medicine's own name, or a line between them, is no part of the dosage.
            near = (
                len(between) <= _MAX_BETWEEN_PARTS
                and not before.end <= entity.start < part.start
                and "\n" not in between
            )
            wording += text[before.end : part.end] if near else f" {part.text}"
        return wording

    def procedure(self, entity: Entity) -> Json:
        """Procedure (R4 §9.3). When it was done is rarely told, so nothing says so."""
        status = _PROCEDURE[entity.assertion]
        if entity.assertion is Assertion.PRESENT:
            status = _PROCEDURE_IN.get(entity.section, status)
        found = self._start("Procedure", entity)
        found |= {"status": status, "code": self._code(entity), "subject": self._by.subject()}
        self._add(found, encounter=self._by.encounter())
        return found

    def observations(self, entity: Entity, values: Sequence[Entity]) -> list[Json]:
        """Observations (R4 §10.1) of one test: one a number, or one for what was said of it.

        Words such as "raised" beside a number are its interpretation, not a value of their own.
        """
        parsed = values_of(self._by.note.text, values)
        numbers = [(value, found) for value, found in parsed if found.low is not None]
        words = [(value, found) for value, found in parsed if found.low is None]
        if not numbers:
            return [self._worded(entity, words)]
        said = next((found.interpretation for _, found in words if found.interpretation), "")
        marks = [value for value, _ in words]
        return [self._measured(entity, value, found, marks, said) for value, found in numbers]

    def _measured(
        self, entity: Entity, part: Entity, value: Value, words: Sequence[Entity], said: str
    ) -> Json:
        value = self._with_implied_unit(entity, self._without_flag(entity, value))
        found = self._start("Observation", entity, [part, *words], key=part)
        self._head(found, entity, value.unit.ucum, part.assertion)
        codes = [coding["code"] for coding in found["code"].get("coding", [])]
        if BLOOD_PRESSURE in codes and value.pair and value.high is not None:
            found["component"] = [
                self._component(name, quantity(number, value.unit))
                for name, number in zip(_PRESSURES, (value.low, value.high), strict=True)
                if number is not None
            ]
        elif value.pair or value.low is None:
            found["valueString"] = clean(part.text)
        elif value.high is not None:
            low, high = quantity(value.low, value.unit), quantity(value.high, value.unit)
            found |= (
                {"valueRange": {"low": low, "high": high}}
                if value.low <= value.high
                else {"valueString": clean(part.text)}
            )
        else:
            found["valueQuantity"] = quantity(value.low, value.unit, value.comparator)
        self._interpreted(found, value.interpretation or said)
        return found

    def _worded(self, entity: Entity, words: Sequence[tuple[Entity, Value]]) -> Json:
        parts = [part for part, _ in words]
        found = self._start("Observation", entity, parts, key=parts[0] if parts else entity)
        self._head(found, entity, "", entity.assertion)
        if words:
            found["valueCodeableConcept"] = {"text": clean(" ".join(part.text for part in parts))}
            self._interpreted(
                found, next((value.interpretation for _, value in words if value.interpretation), "")
            )
        else:
            reason = "not-performed" if entity.assertion is Assertion.NEGATED else "unknown"
            found["dataAbsentReason"] = _concept(_ABSENT, reason)
        return found

    def _head(self, found: Json, entity: Entity, unit: str, assertion: Assertion) -> None:
        """The part of an Observation before its value; ``assertion`` is the value's."""
        category = self._terms.facts(entity.term).category
        found["status"] = "preliminary"
        if category:
            found["category"] = [_concept(_CATEGORY, category)]
        found |= {"code": self._code(entity, unit), "subject": self._by.subject()}
        self._add(found, encounter=self._by.encounter())
        written = self._by.written_at()
        # A value of the past has another time, which the text may tell and we do not read.
        if written and assertion is not Assertion.HISTORICAL:
            found["effectiveDateTime"] = written
        else:
            found["_effectiveDateTime"] = {"extension": [{"url": _ABSENT_EXTENSION, "valueCode": "unknown"}]}
        if self._by.note.document.startswith(_DERIVES_FROM):
            found["derivedFrom"] = [self._by.document()]

    def _without_flag(self, entity: Entity, value: Value) -> Value:
        """Low is "Hb 8.9 L", litres are "FEV1 2.1 L": flagged is a laboratory test that is not known to be measured in litres."""
        if value.unit.text != "L" or self._terms.facts(entity.term).category != "laboratory":
            return value
        if any(self._terms.codings(Label.TEST, entity.term, "L")):
            return value
        return dataclasses.replace(value, unit=Unit(""), interpretation="L")

    def _with_implied_unit(self, entity: Entity, value: Value) -> Value:
        implied = self._terms.facts(entity.term).implied
        if implied is None or value.unit.text or value.low is None:
            return value
        numbers = (value.low, value.low if value.high is None else value.high)
        if not all(implied.low <= number <= implied.high for number in numbers):
            return value
        return dataclasses.replace(value, unit=Unit(implied.ucum, implied.ucum))

    def _component(self, name: str, amount: Json) -> Json:
        codings = self._terms.codings(Label.TEST, name, amount.get("code", ""))
        return {"code": {"coding": [c.as_json() for c in codings], "text": name}, "valueQuantity": amount}

    @staticmethod
    def _interpreted(found: Json, code: str) -> None:
        if code:
            found["interpretation"] = [interpretation(code)]

    def _start(
        self, kind: str, entity: Entity, parts: Sequence[Entity] = (), *, key: Entity | None = None
    ) -> Json:
        words = key or entity
        found = self._by.resource(kind, str(words.start), str(words.end), words.label.value)
        found["extension"] = self._by.extensions(entity, parts)
        return found

    def _code(self, entity: Entity, unit: str = "") -> Json:
        codings = self._terms.codings(entity.label, entity.term, unit)
        if entity.label is Label.TEST and codings and self._is_of_other_specimen(entity):
            codings = ()
        found: Json = {"coding": [coding.as_json() for coding in codings]} if codings else {}
        found["text"] = clean(entity.text)
        if entity.english:
            found["_text"] = {"extension": [_in_english(entity.english)]}
        return found

    def _is_of_other_specimen(self, entity: Entity) -> bool:
        """Whether the statement that a laboratory test stands in begins with urine or another fluid than blood."""
        if self._terms.facts(entity.term).category != "laboratory":
            return False
        before = self._by.note.text[max(0, entity.start - _LOOK_BACK) : entity.start]
        return _OTHER_SPECIMEN.match(re.split(r"[\r\n;]|[.](?=\s)", before)[-1]) is not None

    @staticmethod
    def _add(found: Json, **elements: Any) -> None:
        """The elements that have a value."""
        found |= {name: value for name, value in elements.items() if value}


def _years(age: int) -> Json:
    """Age (R4 §2.24.0.11.1): UCUM a."""
    return {"value": age, "unit": "years", "system": UCUM, "code": "a"}


def _in_english(text: str) -> Json:
    """FHIR's own extension for a translation (R4 §2.24.0.1)."""
    return {
        "url": _TRANSLATION,
        "extension": [{"url": "lang", "valueCode": "en"}, {"url": "content", "valueString": text}],
    }


def _concept(system: str, code: str) -> Json:
    return {"coding": [{"system": system, "code": code}]}
