"""Free text in FHIR: where it stands, and who wrote it about whom.

Texts come out of DocumentReference.content, DiagnosticReport.presentedForm and conclusion, Composition
sections (nested ones too), Observation.valueString, Communication payloads, ClinicalImpression's texts, and
every Annotation named ``note``. Texts shorter than ``nlp.min_note_chars`` are values, not notes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from engine.fhir import schema
from engine.fhir.attachments import UnreadableAttachmentError, is_text, text_of
from engine.fhir.xhtml import html_to_text
from engine.keys import resource_id
from engine.records import Issue, Note, Severity
from engine.settings import Settings

Json = dict[str, Any]

Reader = Callable[[Json], Iterator["Found"]]

LOINC = "http://loinc.org"


@dataclass(frozen=True, slots=True)
class Found:
    """A text within one resource; ``concept``, ``language`` and ``written_at`` only where they differ from its."""

    element: str
    text: str
    concept: Any = None
    language: str = ""
    written_at: str = ""
    author: Any = None
    problem: str = ""


def notes_of(bundle: Json, settings: Settings) -> list[Note]:
    """Notes of all resources in a Bundle, in its order.

    ``feed``, ``message_id``, ``control_id`` and ``source_location`` are the caller's to fill.
    """
    return find_notes(bundle, settings)[0]


def find_notes(
    bundle: Json, settings: Settings, places: Mapping[str, str] | None = None
) -> tuple[list[Note], list[Issue]]:
    """As :func:`notes_of`, with an issue for each text that could not be read or was cut in parts.

    Args:
        bundle: with entries whose resources have ids.
        settings: ``nlp`` holds the limits of length.
        places: FHIRPath in the source of each resource (``Type/id``), for the issues; else its type is named.
    """
    notes: list[Note] = []
    issues: list[Issue] = []
    entries = [e for e in bundle.get("entry", []) if isinstance(e.get("resource"), dict)]
    telling = {id(e["resource"]) for e in entries if _may_tell(e["resource"])}
    if not telling:
        return notes, issues
    held = {_reference_to(e): e["resource"] for e in entries}
    for document, resource in held.items():
        if id(resource) not in telling:
            continue
        for found in texts_of(resource):
            kind, _, rest = found.element.partition(".")
            place = f"{(places or {}).get(document, kind)}.{rest}"
            if found.problem:
                issues.append(_unreadable(place, found.problem))
            elif len(found.text.strip()) >= settings.nlp.min_note_chars:
                parts = _parts(found.text, settings.nlp.max_note_chars)
                if len(parts) > 1:
                    issues.append(_in_parts(place, len(parts)))
                notes += [_note(found, part, document, held) for part in parts]
    return notes, issues


def texts_of(resource: Json) -> Iterator[Found]:
    """Every free text of one resource, by the table and as Annotations."""
    kind = resource.get("resourceType", "")
    for element, reader in _READERS.get(kind, {}).items():
        if element in resource:
            yield from reader(resource)
    if "contained" in resource or not schema.is_resource(kind):
        yield from _annotations(resource, kind)
    elif may_hold_notes(kind):
        yield from _annotations_of(resource, kind, kind)


def _may_tell(resource: Json) -> bool:
    """Whether there is an element in which a free text may stand; of what R4 does not know it may stand anywhere."""
    kind = resource.get("resourceType", "")
    places = _PLACES.get(kind)
    if places is None:
        if not schema.is_resource(kind):
            return True
        places = frozenset({"contained", "note", *_holders(kind), *_READERS.get(kind, ())})
        _PLACES[kind] = places
    return not places.isdisjoint(resource)


_PLACES: dict[str, frozenset[str]] = {}
"""By resource type, as they are met."""


@cache
def may_hold_notes(type_name: str) -> bool:
    """Whether R4 allows a ``note`` anywhere in a type; True for types that R4 does not know."""
    try:
        members = schema.elements(type_name)
    except KeyError:
        return True
    # Data types hold none: only the type's own elements and its backbone need a look.
    return "note" in members or any(
        element.content.startswith(f"{type_name}.") and may_hold_notes(element.content)
        for element in members.values()
    )


# -- where texts stand -------------------------------------------------------------------------------


def _attachment(attachment: Any, element: str) -> Iterator[Found]:
    if not isinstance(attachment, dict) or not is_text(attachment):
        return
    language = attachment.get("language", "")
    written_at = attachment.get("creation", "")
    try:
        text = text_of(attachment)
    except UnreadableAttachmentError as fault:
        yield Found(element, "", problem=str(fault))
    else:
        yield Found(element, text, language=language, written_at=written_at)


def _document_reference(resource: Json) -> Iterator[Found]:
    for index, content in enumerate(_items(resource, "content")):
        yield from _attachment(content.get("attachment"), f"DocumentReference.content[{index}].attachment")


def _presented_form(resource: Json) -> Iterator[Found]:
    for index, attachment in enumerate(_items(resource, "presentedForm")):
        yield from _attachment(attachment, f"DiagnosticReport.presentedForm[{index}]")


def _sections(holder: Json, path: str = "Composition") -> Iterator[Found]:
    for index, section in enumerate(_items(holder, "section")):
        element = f"{path}.section[{index}]"
        narrative = section.get("text")
        div = narrative.get("div") if isinstance(narrative, dict) else None
        if isinstance(div, str):
            concept = section.get("code") or {"text": section.get("title", "")}
            author = next(iter(_items(section, "author")), None)
            yield Found(f"{element}.text.div", html_to_text(div), concept=concept, author=author)
        yield from _sections(section, element)


def _payloads(resource: Json) -> Iterator[Found]:
    for index, payload in enumerate(_items(resource, "payload")):
        element = f"Communication.payload[{index}]"
        yield from _plain(payload, f"{element}.contentString", "contentString")
        yield from _attachment(payload.get("contentAttachment"), f"{element}.contentAttachment")


def _plain(holder: Json, element: str, name: str) -> Iterator[Found]:
    text = holder.get(name)
    if isinstance(text, str):
        yield Found(element, text)


def _at(name: str) -> Reader:
    return lambda resource: _plain(resource, f"{resource['resourceType']}.{name}", name)


_READERS: dict[str, dict[str, Reader]] = {
    "DocumentReference": {"content": _document_reference},
    "DiagnosticReport": {"presentedForm": _presented_form, "conclusion": _at("conclusion")},
    "Composition": {"section": _sections},
    "Observation": {"valueString": _at("valueString")},
    "Communication": {"payload": _payloads},
    "ClinicalImpression": {"description": _at("description"), "summary": _at("summary")},
}
"""By the element that it reads."""


@cache
def _holders(type_name: str) -> dict[str, str]:
    """The backbone elements of a type that may hold notes, with their own type."""
    return {
        name: element.content
        for name, element in schema.elements(type_name).items()
        if element.content.startswith(f"{type_name}.") and may_hold_notes(element.content)
    }


def _annotations_of(node: Json, path: str, type_name: str) -> Iterator[Found]:
    """As :func:`_annotations`, of a valid object: only where R4 has a ``note`` is one looked for."""
    inner = _holders(type_name)
    for name, value in node.items():
        if name == "note":
            yield from _annotations({name: value}, path)
        elif name in inner:
            several = isinstance(value, list)
            for index, item in enumerate(value if several else [value]):
                yield from _annotations_of(
                    item, f"{path}.{name}[{index}]" if several else f"{path}.{name}", inner[name]
                )


def _annotations(node: Any, path: str) -> Iterator[Found]:
    """Every ``note`` that is a list of Annotations, at any depth."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _annotations(item, f"{path}[{index}]")
    elif isinstance(node, dict):
        for name, value in node.items():
            if name == "note" and isinstance(value, list):
                for index, note in enumerate(value):
                    if isinstance(note, dict) and isinstance(note.get("text"), str):
                        yield Found(
                            f"{path}.note[{index}].text",
                            note["text"],
                            written_at=note.get("time", ""),
                            author=note.get("authorReference"),
                        )
            elif isinstance(value, dict | list):
                yield from _annotations(value, f"{path}.{name}")


# -- what is known of them ---------------------------------------------------------------------------


def _note(found: Found, text: str, document: str, held: dict[str, Json]) -> Note:
    resource = held[document]
    kind, title = _kind(
        found.concept or resource.get("type") or resource.get("code") or resource.get("category")
    )
    author = found.author or next(iter(_items(resource, "author")), None) or resource.get("performer")
    return Note(
        note_id=resource_id("Note", document, found.element, text),
        text=text,
        kind=kind,
        title=title,
        language=found.language or _string(resource.get("language")),
        author_role=_role(author, held),
        patient=_target(resource.get("subject")) or _target(resource.get("patient")),
        encounter=_encounter(resource),
        document=document,
        element=found.element,
        written_at=found.written_at or _written_at(resource),
    )


def _parts(text: str, limit: int) -> list[str]:
    """A text too long to be read at once, cut where a line ends if there is one in the last tenth."""
    parts = []
    while len(text) > limit:
        cut = text.rfind("\n", limit - limit // 10, limit) + 1 or limit
        parts.append(text[:cut])
        text = text[cut:]
    return [*parts, text]


def _kind(concept: Any) -> tuple[str, str]:
    """(code, human name) of a concept: its LOINC coding if it has one, else its first."""
    if isinstance(concept, list):
        concept = next(iter(concept), None)
    if not isinstance(concept, dict):
        return "", ""
    codings = _items(concept, "coding")
    coding = next((c for c in codings if c.get("system") == LOINC), next(iter(codings), {}))
    return _string(coding.get("code")), _string(concept.get("text")) or _string(coding.get("display"))


def _role(author: Any, held: dict[str, Json]) -> str:
    """Role of an author as far as the Bundle tells: of a PractitionerRole, or a Practitioner's qualification."""
    if isinstance(author, list):
        author = next(iter(author), None)
    resource = held.get(_target(author), {})
    concept: Any = resource.get("code") if resource.get("resourceType") == "PractitionerRole" else None
    if resource.get("resourceType") == "Practitioner":
        concept = next(iter(_items(resource, "qualification")), {}).get("code")
    return _kind(concept)[1]


def _encounter(resource: Json) -> str:
    context = resource.get("context")
    if isinstance(context, dict) and not _target(resource.get("encounter")):
        first = next(iter(_items(context, "encounter")), context)
        target = _target(first)
        return target if re.search(r"(?:^|/)Encounter/", target) or target.startswith("urn:") else ""
    return _target(resource.get("encounter"))


_TIMES = (
    "date",
    "effectiveDateTime",
    "issued",
    "sent",
    "recordedDate",
    "authoredOn",
    "performedDateTime",
    "occurrenceDateTime",
)
"""Elements that tell when a resource was written, most telling first."""


def _written_at(resource: Json) -> str:
    period = resource.get("effectivePeriod")
    started = period.get("start") if isinstance(period, dict) else None
    return next((resource[name] for name in _TIMES if isinstance(resource.get(name), str)), _string(started))


def _target(reference: Any) -> str:
    return _string(reference.get("reference")) if isinstance(reference, dict) else ""


def _reference_to(entry: Json) -> str:
    """``Type/id``; the fullUrl of a resource whose id the server gives."""
    resource = entry["resource"]
    named = f"{resource.get('resourceType', '')}/{resource.get('id', '')}"
    return named if "id" in resource else str(entry.get("fullUrl", ""))


def _items(holder: Json, name: str) -> list[Json]:
    value = holder.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _unreadable(place: str, problem: str) -> Issue:
    return Issue(
        Severity.WARNING,
        "note-unreadable",
        place,
        f"The attachment says that it is text, but {problem}; it was passed on unread",
        "Name the character set in contentType (text/plain; charset=...), or send UTF-8.",
    )


def _in_parts(place: str, count: int) -> Issue:
    return Issue(
        Severity.INFORMATION,
        "note-in-parts",
        place,
        f"The text is very long; it is read in {count} parts",
        "Raise nlp.max_note_chars if it should be read at once.",
    )
