"""Who says so: marks that a machine made a resource, which one, from which words, and how sure it is.

After HL7's guide "AI Transparency on FHIR" (1.0.0-ballot, R4): the security label AIAST on each resource, a
Device for the model, a Provenance that names it as assembler, and the confidence as an extension. Where in
the text a finding stands has no standard form: that is ours, see docs/extensions.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from engine.fhir.references import Form, parse_reference
from engine.fhir.schema import PRIMITIVES
from engine.keys import resource_id
from engine.nlp.language import ForeignText
from engine.records import Entity, ModelInfo, Note

Json = dict[str, Any]

_GUIDE = "http://hl7.org/fhir/uv/aitransparency"
CONFIDENCE = f"{_GUIDE}/StructureDefinition/AIconfidence"
ARTIFICIAL_INTELLIGENCE = {
    "system": f"{_GUIDE}/CodeSystem/AIdeviceTypeCS",
    "code": "Artificial-Intelligence",
}
AI_ASSERTED = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "AIAST",
    "display": "Artificial Intelligence asserted",
}
_ASSEMBLER = {
    "system": "http://terminology.hl7.org/CodeSystem/provenance-participant-type",
    "code": "assembler",
    "display": "Assembler",
}
_CREATE = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-DataOperation",
    "code": "CREATE",
    "display": "create",
}

FINDING = "StructureDefinition/nlp-finding"
UNREAD = "StructureDefinition/nlp-unread-language"
SUBJECT_OF = "subject-of"
NOTE = "note"
MODEL = "model"

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")


def clean(text: str) -> str:
    """Text that a FHIR string can hold (R4 §2.24.0.1): control characters become blanks."""
    return _CONTROL.sub(" ", text)


class Attribution:
    """Marks for what one model found in one note.

    Args:
        note: the note.
        model: who read it.
        base: root of the URIs that are ours (``settings.mapping.base_uri``).
    """

    def __init__(self, note: Note, model: ModelInfo, base: str) -> None:
        self.note = note
        self.model = model
        self.base = base
        self.device_id = resource_id("Device", "model", model.model_id, model.version)

    def resource(self, kind: str, *key: str) -> Json:
        """A resource with id and marks, for the caller to fill.

        The id is of the words, not of the reader: docs/decisions/0004-ids-of-inferred-resources.md.
        """
        return {
            "resourceType": kind,
            "id": resource_id(kind, "nlp", self.note.note_id, *key),
            "meta": {"source": self.source_uri, "security": [dict(AI_ASSERTED)]},
        }

    @property
    def source_uri(self) -> str:
        """Names the note in ``meta.source``: all that was ever read from it is found by it."""
        try:
            return f"urn:uuid:{UUID(self.note.note_id)}"
        except ValueError:
            return f"{self.base}{NOTE}/{resource_id('Note', self.note.note_id)}"

    def document(self) -> Json:
        """Reference to what the text stands in."""
        return self._reference(self.note.document) or {
            "identifier": {"system": f"{self.base}{NOTE}", "value": self.note.note_id}
        }

    def subject(self) -> Json:
        """Reference to the patient.

        A note without a known patient gets a logical reference: "the patient of that document". It is
        true, it is valid where a subject is required, and a server can resolve it later; an invented
        Patient would be neither (FHIR R4 §2.3.0.1).
        """
        value = self.note.document or self.note.note_id
        return self._reference(self.note.patient, "Patient") or {
            "type": "Patient",
            "identifier": {"system": f"{self.base}{SUBJECT_OF}", "value": value},
        }

    def encounter(self) -> Json | None:
        return self._reference(self.note.encounter, "Encounter")

    @staticmethod
    def _reference(text: str, kind: str = "") -> Json | None:
        """A reference that holds outside of the source's own Bundle; None if there is none.

        A ``urn:`` points to an entry of the source's Bundle: here it can only name it.
        """
        target = parse_reference(text)
        if kind and target.type not in {"", kind}:
            return None
        if target.form in {Form.RELATIVE, Form.ABSOLUTE}:
            return {"reference": text}
        if target.form is Form.URN:
            named = {"identifier": {"system": "urn:ietf:rfc:3986", "value": text}}
            return {"type": kind, **named} if kind else named
        return None

    def written_at(self) -> str:
        """When the note was written, "" if not known as a FHIR dateTime."""
        return self.note.written_at if PRIMITIVES["dateTime"].fullmatch(self.note.written_at) else ""

    def extensions(self, entity: Entity, parts: Iterable[Entity] = ()) -> list[Json]:
        """Where a resource was read and how sure it is; ``parts`` are its dosages or its value."""
        details: list[Json] = [
            *_span(entity),
            {"url": "assertion", "valueCode": entity.assertion.value},
            {"url": "source", "valueReference": self.document()},
        ]
        if entity.language:
            details.append({"url": "language", "valueCode": entity.language})
        if entity.section:
            details.append({"url": "section", "valueCode": entity.section})
        if self.note.element.strip():
            details.append({"url": "element", "valueString": clean(self.note.element)})
        details += [{"url": "part", "extension": _span(part)} for part in parts]
        return [
            {"url": CONFIDENCE, "valueDecimal": _score(entity.score)},
            {"url": f"{self.base}{FINDING}", "extension": details},
        ]

    def device(self) -> Json:
        """The model. One resource for each version of it, whatever it computes on."""
        return {
            "resourceType": "Device",
            "id": self.device_id,
            "identifier": [{"system": f"{self.base}{MODEL}", "value": self.model.name}],
            "status": "active",
            "deviceName": [{"name": self.model.model_id, "type": "model-name"}],
            "type": {"coding": [dict(ARTIFICIAL_INTELLIGENCE)], "text": "Reader of clinical notes"},
            "version": [{"value": self.model.version}],
        }

    def provenance(
        self, resources: Sequence[Json], recorded: str, foreign: Sequence[ForeignText], *key: str
    ) -> Json:
        """One for all that this model found in the note; the next reading of it takes its place.

        ``key`` tells it from that of the model which read the whole note.
        """
        found = self.resource("Provenance", *key)
        languages = [{"url": f"{self.base}{UNREAD}", "extension": _stretch(text)} for text in foreign]
        if languages:
            found["extension"] = languages
        return found | {
            "target": [{"reference": f"{r['resourceType']}/{r['id']}"} for r in resources],
            "recorded": recorded,
            "activity": {"coding": [dict(_CREATE)]},
            "reason": [{"coding": [dict(AI_ASSERTED)]}],
            "agent": [
                {"type": {"coding": [dict(_ASSEMBLER)]}, "who": {"reference": f"Device/{self.device_id}"}}
            ],
            "entity": [{"role": "source", "what": self.document()}],
        }


def _span(entity: Entity) -> list[Json]:
    return [
        {"url": "start", "valueInteger": entity.start},
        {"url": "end", "valueInteger": entity.end},
        {"url": "text", "valueString": clean(entity.text)},
        {"url": "label", "valueCode": entity.label.value},
        {"url": "score", "valueDecimal": _score(entity.score)},
    ]


def _stretch(text: ForeignText) -> list[Json]:
    return [
        {"url": "language", "valueCode": text.language},
        {"url": "start", "valueInteger": text.start},
        {"url": "end", "valueInteger": text.end},
    ]


def _score(score: float) -> Decimal:
    return Decimal(str(round(score, 4)))
