"""The shapes in which tools write annotated texts as JSON, brought to one: ``{"text", "entities", ...}``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.corpora.iob import gap_before

_TEXTS = ("text", "content", "note", "data", "sentence", "note_text", "report")
_TOKENS = ("tokens", "words")
_TAGS = ("tags", "ner_tags", "labels", "ner", "iob", "bio")
_MARKS = frozenset("BIELSUMW")


def has_text(value: Any) -> bool:
    """Whether a value is an annotated text in one of the shapes."""
    try:
        return plain_row(value) is not None
    except ValueError:
        return True  # it means to be one


def plain_row(value: Any) -> dict[str, Any] | None:
    """The value as ``{"text", ...}`` with its own names of entities; None if it has no text.

    Read are objects whose text has another name, words with tags, spaCy's pairs of a text and an object, BigBio's
    passages, and Label Studio's full export (the first of several annotations that was not cancelled).

    Raises:
        ValueError: its tags can't be read; the message says why, for people.
    """
    if isinstance(value, list):
        is_pair = len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], dict)
        return {**value[1], "text": value[0]} if is_pair else None
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("passages"), list):
        return _bigbio(value)
    if isinstance(value.get("data"), dict) and isinstance(value.get("annotations"), list):
        return _label_studio(value)
    name = next((name for name in _TEXTS if isinstance(value.get(name), str)), None)
    if name is not None:
        return {**value, "text": value[name]}
    tokens = next((value[name] for name in _TOKENS if _is_words(value.get(name))), None)
    if tokens is None:
        return None
    tags = next((value[name] for name in _TAGS if isinstance(value.get(name), list)), None)
    text, entities = _joined(tokens, tags)
    rest = {key: each for key, each in value.items() if key not in {*_TOKENS, *_TAGS}}
    return {**rest, "text": text, "entities": entities}


def _bigbio(value: dict[str, Any]) -> dict[str, Any] | None:
    """Passages and entities with lists of texts and of offsets, which count the document's characters; None if it is not so."""
    text = ""
    try:
        for passage in value["passages"]:
            for words, (start, _) in zip(passage["text"], passage["offsets"], strict=True):
                if start < len(text):
                    raise ValueError("has passages out of order")
                text += ("\n" + " " * (start - len(text) - 1) if start > len(text) else "") + words
        entities = [
            {
                "start": min(start for start, _ in each["offsets"]),
                "end": max(end for _, end in each["offsets"]),
                "label": each["type"],
            }
            for each in value.get("entities") or ()
            if each["offsets"]
        ]
    except (KeyError, TypeError):
        return None
    rest = {key: each for key, each in value.items() if key in {"document_id", "meta"}}
    return {**rest, "text": text, "entities": entities}


def _label_studio(task: dict[str, Any]) -> dict[str, Any] | None:
    text = next((task["data"][name] for name in _TEXTS if isinstance(task["data"].get(name), str)), None)
    if text is None:
        return None
    done = [each for each in task["annotations"] if isinstance(each, dict) and not each.get("was_cancelled")]
    results = done[0].get("result") or [] if done else []
    spans = [
        each["value"] for each in results if isinstance(each, dict) and "labels" in (each.get("value") or ())
    ]
    return {**({"id": task["id"]} if "id" in task else {}), "text": text, "entities": spans}


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(word, str) for word in value)


def _joined(tokens: Sequence[str], tags: Any) -> tuple[str, list[dict[str, Any]]]:
    """Running text of words, and the entities that their tags mark."""
    if not isinstance(tags, list) or len(tags) != len(tokens):
        raise ValueError("has words without as many tags")
    if not all(isinstance(tag, str) for tag in tags):
        raise ValueError("has tags that are numbers: write their names, as B-Disease")
    text = tail = goes_on_with = ""
    entities: list[dict[str, Any]] = []
    for token, tag in zip(tokens, tags, strict=True):
        if not token:
            continue
        marked = tag[:1] in _MARKS and tag[1:2] in {"-", "_"}
        mark, name = (tag[0], tag[2:]) if marked else ("I", "" if tag == "O" else tag)
        start = len(text) + len(gap_before(tail, token))
        text += gap_before(tail, token) + token
        tail = text[-2:]
        if name and mark in "IELM" and name == goes_on_with:
            entities[-1]["end"] = len(text)
        elif name:
            entities.append({"start": start, "end": len(text), "label": name})
        goes_on_with = "" if mark in "ELSUW" else name
    return text, entities
