"""Puts engine parts together from settings: what every command needs, made once."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from adapters.feed_profiles import load_profiles
from engine.errors import SettingsError
from engine.feeds import FeedProfile
from engine.intake import Intake
from engine.mapping.mapper import Mapper
from engine.pipeline import Pipeline
from engine.settings import Settings

_DEFAULT_FEEDS: str = Settings.model_fields["feeds"].default
"""The one folder that may be missing: whoever names another wants its profiles."""


def software_version() -> str:
    """Version of the installed package."""
    try:
        return version("wardstream")
    except PackageNotFoundError:
        return "0"


class Profiles:
    """Profiles of feeds by name; a feed without one gets the defaults. Raises SettingsError."""

    def __init__(self, settings: Settings) -> None:
        self._timezone = settings.timezone
        folder = Path(settings.feeds)
        if not folder.is_dir() and (folder.exists() or settings.feeds != _DEFAULT_FEEDS):
            raise SettingsError(
                f"There is no folder of feed profiles {folder}",
                location="feeds",
                action="Create it, or correct WARDSTREAM_FEEDS.",
            )
        self._known = load_profiles(folder, settings.timezone) if folder.is_dir() else {}
        self.names = frozenset(self._known)
        """Feeds that have a profile of their own."""

    def __call__(self, feed: str) -> FeedProfile:
        found = self._known.get(feed)
        if found is None:
            found = self._known[feed] = FeedProfile(name=feed, timezone=self._timezone)
        return found


def make_mapper(settings: Settings) -> Mapper:
    """The compiled tables, with the site's overlay. Raises MapTableError, SettingsError."""
    overlay = Path(settings.mapping.overlay) if settings.mapping.overlay else None
    if overlay is not None and not overlay.is_dir():
        raise SettingsError(
            f"There is no overlay folder {overlay}",
            location="mapping.overlay",
            action="Create it or correct WARDSTREAM_MAPPING__OVERLAY.",
        )
    acts = settings.mapping.provenance != "off"
    return Mapper(overlay, base=settings.mapping.base_uri, acts=acts, limits=settings.mapping)


def make_intake(settings: Settings) -> Intake:
    """What the edge needs: which patient a message is about, by the same names as the mapper's."""
    mapper = make_mapper(settings)
    return Intake(lambda profile: mapper.names_for(profile)[0], Profiles(settings))


def make_pipeline(settings: Settings) -> Pipeline:
    """Everything from bytes to outcome."""
    return Pipeline(settings, make_mapper(settings), Profiles(settings), software_version())
