"""Note readers by name: ``rules``, ``default`` (the promoted model, else the one that ships), ``both``, or an artifact's folder."""

from __future__ import annotations

import json
from pathlib import Path

from engine.errors import SettingsError
from engine.ports import EntityExtractor
from engine.settings import Nlp
from models.artifact import MANIFEST, SHIPPED

#: In a models folder: which of its artifacts ``default`` means.
POINTER = "promoted.json"
RULES, DEFAULT, BOTH = "rules", "default", "both"


def load_extractor(name: str, settings: Nlp | None = None, *, store: Path | None = None) -> EntityExtractor:
    """The reader of that name, loaded, verified and warm.

    Args:
        name: ``rules``, ``default``, ``both`` (those two, each where it reads better) or a folder.
        settings: device, threads, batches, queue and time-out.
        store: a site's models folder; what was promoted there is ``default``.

    Raises:
        SettingsError: there is no such reader, its files were changed, or its device can't be used.
    """
    chosen = settings or Nlp()
    if name == RULES:
        from models.baseline import RuleExtractor

        return RuleExtractor()
    from models.ner import OnnxExtractor

    model = OnnxExtractor(folder_of(DEFAULT if name == BOTH else name, store or store_of(chosen)), chosen)
    if name != BOTH:
        return model
    from models.both import BothExtractor

    return BothExtractor(model)


def store_of(settings: Nlp) -> Path | None:
    """The site's models folder, if it has one."""
    return Path(settings.models) if settings.models else None


def folder_of(name: str, store: Path | None = None) -> Path:
    """The folder of an artifact: of the default one, of one in the store, or the path itself."""
    if name != DEFAULT:
        kept = store / name if store else None
        return kept if kept is not None and (kept / MANIFEST).is_file() else Path(name)
    promoted = promoted_in(store) if store else None
    return promoted or SHIPPED / "default"


def promoted_in(store: Path) -> Path | None:
    """What was promoted in a models folder; None where nothing was.

    Raises:
        SettingsError: the pointer can't be read, or points to nothing.
    """
    path = store / POINTER
    if not path.is_file():
        return None
    try:
        folder = Path(json.loads(path.read_text(encoding="utf-8"))["artifact"])
    except (ValueError, KeyError, TypeError):
        folder = Path()
    if not (store / folder / MANIFEST).is_file():
        raise SettingsError(
            f"{path} points to no artifact",
            location="nlp.models",
            action="Promote a model again with 'wardstream models promote', or delete that file.",
        )
    return store / folder


def stored(store: Path | None) -> list[Path]:
    """All artifacts: what ships, then those in the store, by name."""
    folders = [SHIPPED, *([store] if store else [])]
    return [
        path
        for folder in folders
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if (path / MANIFEST).is_file()
    ]
