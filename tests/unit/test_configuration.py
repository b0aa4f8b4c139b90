"""Settings from the environment and a file: what wins, what is refused, and what the refusal says."""

import os

import pytest

from adapters.configuration import load_settings, variables
from engine.errors import SettingsError
from engine.settings import Settings


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    """No variable of the person who runs the tests, and a working folder without a settings file."""
    for name in [name for name in os.environ if name.startswith("WARDSTREAM_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def written(tmp_path, text, name="site.yaml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_without_file_and_environment_the_defaults_hold():
    """What the table in the documents says is what runs."""
    assert load_settings() == Settings()


def test_the_environment_wins_over_the_file_and_the_file_over_the_defaults(tmp_path, monkeypatch):
    """Name by name: a variable for one setting leaves its neighbours in the file alone."""
    path = written(tmp_path, "mllp: {port: 7000, feed: wards}\ntimezone: Asia/Tokyo\n")
    monkeypatch.setenv("WARDSTREAM_MLLP__PORT", "7001")
    settings = load_settings(path)
    assert (settings.mllp.port, settings.mllp.feed, settings.timezone) == (7001, "wards", "Asia/Tokyo")
    assert settings.http == Settings().http


def test_the_file_in_the_working_folder_is_read(tmp_path):
    """wardstream.yaml needs no variable to be found."""
    written(tmp_path, "http: {port: 8601}", "wardstream.yaml")
    assert load_settings().http.port == 8601


def test_the_file_that_the_variable_names_is_read(tmp_path, monkeypatch):
    """WARDSTREAM_CONFIG takes the place of the file in the working folder."""
    written(tmp_path, "http: {port: 8601}", "wardstream.yaml")
    monkeypatch.setenv("WARDSTREAM_CONFIG", str(written(tmp_path, "http: {port: 8602}")))
    assert load_settings().http.port == 8602


def test_a_map_is_given_as_json_in_the_environment(monkeypatch):
    """Feeds and their ports in one variable."""
    monkeypatch.setenv("WARDSTREAM_MLLP__MORE_FEEDS", '{"laboratory": 2576}')
    assert load_settings().mllp.more_feeds == {"laboratory": 2576}


def test_an_empty_file_says_nothing(tmp_path):
    """All lines commented out is a common state of a settings file."""
    assert load_settings(written(tmp_path, "# nothing yet\n")) == Settings()


def test_every_variable_sets_what_its_name_says(monkeypatch):
    """The list that documents and deployments are held against is the list that works."""
    for name, value in Settings().model_dump().items():
        inner = value if isinstance(value, dict) else {None: value}
        for setting, default in inner.items():
            variable = f"WARDSTREAM_{name}__{setting}" if setting else f"WARDSTREAM_{name}"
            assert variable.upper() in variables()
            if isinstance(default, str | int | float) and default not in ("", True, False):
                monkeypatch.setenv(variable.upper(), str(default))
    assert load_settings() == Settings()


@pytest.mark.parametrize(
    ("name", "value", "location"),
    [
        ("WARDSTREAM_KAFKA__PARTITIONS", "many", "kafka.partitions"),
        ("WARDSTREAM_KAFKA__PARTITIONS", "0", "kafka.partitions"),
        ("WARDSTREAM_MAPPING__BASE_URI", "hospital", "mapping.base_uri"),
        ("WARDSTREAM_MLLP__MAX_HELD_BYTES", "64", "mllp"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name(monkeypatch, name, value, location):
    """Who made the mistake is told where, by the setting's name."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert caught.value.location == location
    assert caught.value.action


@pytest.mark.parametrize("name", ["WARDSTREAM_KAFKA__BROKER", "WARDSTREAM_KAFKA_BROKERS", "WARDSTREAM_PORT"])
def test_a_variable_that_sets_nothing_is_refused(monkeypatch, name):
    """A misspelt name must not leave a default in place in silence."""
    monkeypatch.setenv(name, "x")
    with pytest.raises(SettingsError, match=name):
        load_settings()


@pytest.mark.parametrize("text", ["kafka: {broker: x}", "kafak: {}", "mllp: 2575"])
def test_a_name_in_the_file_that_is_none_is_refused(tmp_path, text):
    """The same for the file."""
    with pytest.raises(SettingsError):
        load_settings(written(tmp_path, text))


def test_a_file_that_is_no_yaml_is_refused_with_its_line(tmp_path):
    """The line is where to look."""
    path = written(tmp_path, "kafka:\n  brokers: [a\nmllp: {}\n")
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    assert caught.value.location.startswith(f"{path}:")


def test_a_file_without_names_is_refused(tmp_path):
    """A list is valid YAML and no settings."""
    with pytest.raises(SettingsError, match="holds no names"):
        load_settings(written(tmp_path, "- a\n- b\n"))


def test_a_file_that_was_named_and_is_not_there_is_refused(tmp_path, monkeypatch):
    """Running with defaults instead would look right for a long time."""
    monkeypatch.setenv("WARDSTREAM_CONFIG", str(tmp_path / "absent.yaml"))
    with pytest.raises(SettingsError, match="no settings file"):
        load_settings()


def test_copies_that_can_never_confirm_are_refused(monkeypatch):
    """Kafka would lower the number without a word."""
    monkeypatch.setenv("WARDSTREAM_KAFKA__MIN_INSYNC", "2")
    with pytest.raises(SettingsError, match="min_insync"):
        load_settings()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"timezone: Mars/Olympus\n", "IANA"),
        (b"mllp:\n\tport: 1\n", "line"),
        ("# Z\u00fcrich\ntimezone: UTC\n".encode("latin-1"), "UTF-8"),
        (b"timezone: a\0b\n", "control characters"),
    ],
)
def test_a_settings_file_that_is_wrong_says_where(tmp_path, content, says):
    """No traceback, and no zone that fails at the first message instead of at the start."""
    path = tmp_path / "wardstream.yaml"
    path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    assert says in str(caught.value)
