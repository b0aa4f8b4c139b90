"""What was read in a note, as one FHIR R4 transaction.

What gives no resource is counted with its reason, so that nothing goes in silence: a disease that is only
feared, a dose without a medicine, a finding the reader is not sure of.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from engine.fhir.bundle import from_entries, put_entries
from engine.fhir.validate import repair
from engine.nlp.attribution import Attribution, clean
from engine.nlp.reading import Reading
from engine.nlp.resources import Builder
from engine.nlp.terminology import Terminology
from engine.records import Assertion, Entity, Label, ModelInfo

Json = dict[str, Any]

# What a reader may take for a finding and is none: a quality that is well, the name of an examination or of a list.
_NO_FINDINGS = {
    Label.PROBLEM: frozenset(
        (
            "soft",
            "supple",
            "alert",
            "well",
            "normal",
            "stable",
            "comfortable",
            "clear",
            "alive",
            "healthy",
            "mdm",
            "mr",
            "mrs",
            "ms",
        )
    ),
    Label.TEST: frozenset(
        ("examination", "physical examination", "exam", "investigations", "results", "bloods", "labs", "h")
    ),
    Label.MEDICATION: frozenset(
        ("medication", "medications", "meds", "medicine", "medicines", "drug", "drugs")
    ),
}
_MAX_EFFECT_DISTANCE = 60  # characters between a medicine and what it did: "penicillin (rash)"
_AND = re.compile(
    r"[ \t]*(?:,|/|\+|&|,?[ ](?:and|or))[ \t]*(?:[a-z]+[ ]){0,2}", re.IGNORECASE
)  # between one effect and the next


@dataclass(frozen=True, slots=True)
class Annotation:
    """A reading as FHIR.

    Attributes:
        bundle: the transaction; None when nothing was found that gives a resource.
        bundle_json: the same as it is emitted, JSON in UTF-8.
        withheld: entities that gave none, by reason: ``low-score``, ``hypothetical``, ``relative``,
            ``part-only`` (a dose, value or body part by itself), ``allergy-effect``, ``heading`` (part of the name of a section), ``no-finding`` (such as "soft"), ``blank`` (no words in the
            span), ``repeated`` (a problem, a procedure or a test without a value that the note has named before and meant in the same way); ``mended`` and ``invalid`` count resources that lost an element, or themselves, because
            they were no valid FHIR.
    """

    bundle: Json | None
    bundle_json: bytes
    withheld: Mapping[str, int]


def annotate(
    reading: Reading,
    model: ModelInfo,
    terminology: Terminology,
    *,
    base: str,
    min_score: float,
    recorded: str,
) -> Annotation:
    """The transaction for one note. The same arguments give the same Bundle, byte for byte.

    Args:
        reading: the note and what was made of it.
        model: who read the whole note; of what others found (``reading.by``) they are named.
        terminology: codes.
        base: ``settings.mapping.base_uri``.
        min_score: entities below it give no resource (``settings.nlp.min_score``).
        recorded: FHIR instant for Provenance.recorded.
    """
    maker = _Maker(reading, Builder(Attribution(reading.note, model, base), terminology), min_score)
    by_model: dict[ModelInfo, list[Json]] = {}
    for at, made in maker.resources():
        valid, mends = repair(made)
        if mends:
            maker.withheld["mended"] += 1
        if valid is None:
            maker.withheld["invalid"] += 1
        else:
            by_model.setdefault(reading.by[at] if reading.by else model, []).append(valid)
    if not by_model:
        return Annotation(None, b"", dict(maker.withheld))
    entries = [resource for resources in by_model.values() for resource in resources]
    foreign = reading.foreign
    for who, resources in by_model.items():
        attribution = Attribution(reading.note, who, base)
        key = () if who == model else (who.model_id,)
        entries += [attribution.device(), attribution.provenance(resources, recorded, foreign, *key)]
        foreign = ()
    return Annotation(*from_entries(put_entries(entries)), dict(maker.withheld))


class _Maker:
    """Decides for each entity what becomes of it."""

    def __init__(self, reading: Reading, builder: Builder, min_score: float) -> None:
        self._reading = reading
        self._builder = builder
        self._min_score = min_score
        self.withheld: Counter[str] = Counter()
        self._parts = {at for entity in reading.entities for at in entity.related}
        self._effects = _effects(reading)
        self._explained = frozenset(chain.from_iterable(self._effects.values()))
        self._told: set[tuple[Label, str, Assertion]] = set()
        self._make: dict[Label, Callable[[int, Entity], list[Json]]] = {
            Label.PROBLEM: self._problem,
            Label.MEDICATION: self._medication,
            Label.TEST: self._test,
            Label.PROCEDURE: self._procedure,
        }

    def resources(self) -> Iterator[tuple[int, Json]]:
        """Each resource, with the index of the entity it was made of."""
        for at, entity in enumerate(self._reading.entities):
            make = self._make.get(entity.label)
            if make is None:
                if at not in self._parts:
                    self.withheld["part-only"] += 1
            elif _is_blank(entity):
                self.withheld["blank"] += 1
            elif self._is_in_heading(entity):
                self.withheld["heading"] += 1
            elif entity.text.lower() in _NO_FINDINGS.get(entity.label, ()):
                self.withheld["no-finding"] += 1
            elif entity.score < self._min_score:
                self.withheld["low-score"] += 1
            else:
                yield from ((at, made) for made in make(at, entity))

    def _is_in_heading(self, entity: Entity) -> bool:
        """Whether it is part of the name of a section: "Medications on discharge"."""
        sections = self._reading.sections
        at = bisect_right(sections, entity.start, key=lambda section: section.start) - 1
        return at >= 0 and bool(sections[at].name) and entity.start < sections[at].body

    def _problem(self, at: int, entity: Entity) -> list[Json]:
        context = self._reading.contexts[at]
        if entity.assertion is Assertion.HYPOTHETICAL:
            return self._withhold("hypothetical")
        if context.kin:
            return [self._builder.family_history(entity, context)]
        if context.allergy:
            return [] if at in self._explained else self._withhold("allergy-effect")
        if self._is_repeated(entity):
            return self._withhold("repeated")
        return [self._builder.condition(entity)]

    def _medication(self, at: int, entity: Entity) -> list[Json]:
        context = self._reading.contexts[at]
        if context.kin:
            return self._withhold("relative")
        if context.allergy:
            if entity.assertion is Assertion.HYPOTHETICAL:
                return self._withhold("hypothetical")
            effects = [self._reading.entities[effect] for effect in self._effects.get(at, ())]
            return [self._builder.allergy(entity, effects)]
        return [self._builder.medication(entity, self._sure_parts(entity))]

    def _test(self, at: int, entity: Entity) -> list[Json]:
        if self._reading.contexts[at].kin:
            return self._withhold("relative")
        if entity.assertion is Assertion.HYPOTHETICAL:
            return self._withhold("hypothetical")
        values = self._sure_parts(entity)
        if not values and self._is_repeated(entity):
            return self._withhold("repeated")
        return self._builder.observations(entity, values)

    def _procedure(self, at: int, entity: Entity) -> list[Json]:
        if self._reading.contexts[at].kin:
            return self._withhold("relative")
        if entity.assertion is Assertion.HYPOTHETICAL:
            return self._withhold("hypothetical")
        if self._is_repeated(entity):
            return self._withhold("repeated")
        return [self._builder.procedure(entity)]

    def _is_repeated(self, entity: Entity) -> bool:
        """Whether the note has named it before and meant it in the same way; remembers it."""
        told = entity.label, " ".join(entity.term.lower().split()), entity.assertion
        if told in self._told:
            return True
        self._told.add(told)
        return False

    def _sure_parts(self, entity: Entity) -> list[Entity]:
        parts = [self._reading.entities[at] for at in entity.related]
        parts = [part for part in parts if not _is_blank(part)]
        sure = [part for part in parts if part.score >= self._min_score]
        self.withheld["low-score"] += len(parts) - len(sure)
        if not self.withheld["low-score"]:
            del self.withheld["low-score"]
        return sure

    def _withhold(self, reason: str) -> list[Json]:
        self.withheld[reason] += 1
        return []


def _is_blank(entity: Entity) -> bool:
    """Whether a reader points at blanks and control characters only: FHIR has no string for those."""
    return not clean(entity.text).strip()


def _effects(reading: Reading) -> dict[int, list[int]]:
    """What an allergy did: index of a medicine, indexes of the problems that follow it: "amoxicillin (rash, angioedema)"."""
    found: dict[int, list[int]] = {}
    last: int | None = None
    end = 0
    for at, (entity, context) in enumerate(zip(reading.entities, reading.contexts, strict=True)):
        if entity.label is Label.MEDICATION:
            last = at if context.allergy and not context.kin else None
            end = entity.end
        elif entity.label is Label.PROBLEM and context.allergy and last is not None and not _is_blank(entity):
            between = reading.note.text[end : entity.start]
            first = last not in found
            near = len(between) <= _MAX_EFFECT_DISTANCE if first else _AND.fullmatch(between) is not None
            if near and entity.assertion is not Assertion.HYPOTHETICAL:
                found.setdefault(last, []).append(at)
                end = entity.end
            elif not first:
                last = None
    return found
