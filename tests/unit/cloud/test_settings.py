"""The cloud's settings: what is wrong with them is said all at once, and how to mend it."""

import pytest

from cloud.settings import Settings, read_settings
from contract.errors import ConfigError

URL = "postgresql://anju@db/anju"


def test_only_the_database_has_to_be_said() -> None:
    assert read_settings({"DATABASE_URL": URL}) == Settings(URL, "127.0.0.1", 8080, "http://127.0.0.1:8080", "")


def test_everything_can_be_said() -> None:
    settings = read_settings(
        {
            "DATABASE_URL": URL,
            "ANJU_LISTEN": "[::1]:9000",
            "ANJU_PUBLIC_URL": "https://anju.example.org/",
            "ANJU_TRUSTED_PROXY": "10.0.0.2",
        }
    )
    assert settings == Settings(URL, "::1", 9000, "https://anju.example.org", "10.0.0.2")
    assert settings.https
    assert not read_settings({"DATABASE_URL": URL}).https


@pytest.mark.parametrize("listen", ["", "8080", ":8080", "host", "host:", "host:0", "host:65536", "host:-1", "host:²"])
def test_a_bad_address_to_listen_on(listen: str) -> None:
    with pytest.raises(ConfigError, match="ANJU_LISTEN") as told:
        read_settings({"DATABASE_URL": URL, "ANJU_LISTEN": listen, "ANJU_PUBLIC_URL": "https://a.example"})
    assert "127.0.0.1:8080" in str(told.value)


@pytest.mark.parametrize(
    "url",
    ["", "anju.example.org", "ftp://a.example", "https://", "https://a.example/path", "http://[::1", "http://a:99999",
     "https://a.example?x", "https://a.example#x", "https://user:word@a.example", "https:// a.example"],
)  # fmt: skip
def test_a_bad_public_address(url: str) -> None:
    with pytest.raises(ConfigError, match="ANJU_PUBLIC_URL") as told:
        read_settings({"DATABASE_URL": URL, "ANJU_PUBLIC_URL": url})
    assert "https://anju.example.org" in str(told.value)


def test_every_mistake_is_said_at_once() -> None:
    with pytest.raises(ConfigError) as told:
        read_settings({"ANJU_LISTEN": "x", "ANJU_PUBLIC_URL": "x"})
    assert [mistake.file for mistake in told.value.mistakes] == ["ANJU_LISTEN", "ANJU_PUBLIC_URL", "DATABASE_URL"]


def test_how_long_rows_are_kept_can_be_said_within_reason() -> None:
    said = {"ANJU_KEEP_READINGS_DAYS": "30", "ANJU_KEEP_DAILY_DAYS": "400"}
    keep = read_settings({"DATABASE_URL": URL} | said).keep
    assert (keep.days("readings"), keep.days("readings_day"), keep.days("states_hour")) == (30, 400, 1100)
    with pytest.raises(ConfigError) as told:
        read_settings({"DATABASE_URL": URL, "ANJU_KEEP_READINGS_DAYS": "6", "ANJU_KEEP_STATES_DAYS": "for ever"})
    assert "ANJU_KEEP_READINGS_DAYS" in str(told.value)
    assert "'for ever' is not a number of days from 400 to 36500" in str(told.value)


def test_an_outside_address_is_told_and_never_shown() -> None:
    secret = "https://hc-ping.com/6f1c8f0e"
    said = read_settings({"DATABASE_URL": URL, "ANJU_DEADMAN_URL": secret, "ANJU_DEADMAN_EVERY_S": "30"}).deadman
    assert (said.url, said.every_s) == (secret, 30)
    assert read_settings({"DATABASE_URL": URL, "ANJU_DEADMAN_URL": ""}).deadman.url == ""
    with pytest.raises(ConfigError) as told:
        read_settings({"DATABASE_URL": URL, "ANJU_DEADMAN_URL": "hc-ping.com/6f1c8f0e", "ANJU_DEADMAN_EVERY_S": "5"})
    assert "'5' is not a number of seconds from 10 to 3600" in str(told.value)
    assert "is not a web address" in str(told.value)
    assert "6f1c8f0e" not in str(told.value)
