"""Configurations, the secrets that they name, and where channels may connect to."""

import asyncio
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.notify.channels import CHANNELS, make_channel, missing_secrets
from cloud.notify.reach import NotReachableError, Reach, resolve
from cloud.notify.secrets import SecretError, Secrets, hide, is_reference
from cloud.notify.tools import read_tools
from contract.errors import ConfigError

GOOD = {
    "apprise": {"url": "env:X"},
    "dingtalk": {"token": "file:ding.token", "secret": "env:X"},
    "email": {"host": "smtp.example.org", "sender": "anju@example.org"},
    "feishu": {"token": "env:X", "mention": ["all", "ou_84aad35d084aa403a838cf73ee18467"]},
    "webhook": {"url": "https://example.org/hook?x=1", "secret": "env:X", "headers": {"Authorization": "env:X"}},
    "wecom": {"key": "env:X"},
}
WRONG = [
    ("dingtalk", {"token": "566cc69da782ec"}, "token does not name a secret"),
    ("dingtalk", {"secret": "SEC240d7bb4c0bafc62"}, "secret does not name a secret"),
    ("dingtalk", {"tokne": "env:X"}, "unknown field `tokne`"),
    ("dingtalk", {"mention": "everybody"}, "Invalid enum value"),
    ("dingtalk", {"keyword": "x" * 21}, "longer than 20"),
    ("dingtalk", {"rate_per_min": -1}, "rate_per_min"),
    ("wecom", {"key": "693a91f6-7wec-4bc4"}, "key does not name a secret"),
    ("wecom", {"address": "ftp://example.org"}, "address is not a web address"),
    ("feishu", {"mention": ['"><at user_id="all">']}, "mention is not a list"),
    ("webhook", {"url": "https://user:password@example.org/"}, "url is not a web address"),
    ("webhook", {"url": "file:///etc/passwd"}, "url is not a web address"),
    ("webhook", {"url": "https://example.org/\r\nX: 1"}, "url is not a web address"),
    ("webhook", {"url": "https://[::1/"}, "url is not a web address"),
    ("webhook", {"headers": {"Host": "x"}}, "cannot be set"),
    ("webhook", {"headers": {"anju-signature": "x"}}, "cannot be set"),
    ("webhook", {"headers": {"X Y": "x"}}, "cannot be set"),
    ("webhook", {"headers": {"X": "a\r\nB: c"}}, "not printable"),
    ("webhook", {"limit_bytes": 10}, "limit_bytes"),
    ("email", {"host": "smtp.example.org\r\nRCPT"}, "host is not"),
    ("email", {"sender": "anju@example.org\r\nBcc: x@y"}, "is not a mail address"),
    ("email", {"to": ["a@b", "<script>"]}, "is not a mail address"),
    ("email", {"password": "env:X"}, "need each other"),
    ("email", {"username": "x", "password": "hunter2"}, "password does not name a secret"),
    ("email", {"tls": "maybe"}, "Invalid enum value"),
    ("email", {"port": 70000}, "port is not"),
    ("email", {"to": [f"a{n}@b" for n in range(51)]}, "more than 50"),
    ("apprise", {"url": "tgram://123/456"}, "url does not name a secret"),
    ("apprise", {"limit_chars": 5}, "limit_chars"),
]


def tools():
    return read_tools({})


@pytest.mark.parametrize("kind", GOOD)
def test_good(kind: str) -> None:
    channel = make_channel(kind, GOOD[kind], tools())
    assert channel.kind == kind
    assert channel.limits.rate_per_min > 0
    assert channel.limits.limit_bytes or channel.limits.limit_chars
    slower = make_channel(kind, GOOD[kind] | {"rate_per_min": 3}, tools())
    assert slower.limits.rate_per_min == 3
    faster = make_channel(kind, GOOD[kind] | {"rate_per_min": 6000}, tools())
    assert faster.limits.rate_per_min == channel.limits.rate_per_min, "never faster than the service takes"


@pytest.mark.parametrize(("kind", "changes", "words"), WRONG)
def test_wrong(kind: str, changes: dict, words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        make_channel(kind, GOOD[kind] | changes, tools())
    assert words in str(raised.value)
    for secret in ("566cc69da782ec", "SEC240d7bb4c0bafc62", "hunter2", "password@", "123/456"):
        assert secret not in str(raised.value), "what was meant to be a reference may be the secret itself"


def test_a_kind_that_is_none() -> None:
    with pytest.raises(ConfigError, match="one of apprise, dingtalk"):
        make_channel("pager", {}, tools())


def test_all_mistakes_are_said_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        make_channel("email", {"host": "", "sender": "", "port": -1}, tools())
    assert len(raised.value.mistakes) == 3


@pytest.mark.parametrize("kind", CHANNELS)
def test_who_edits_a_configuration_hears_which_secrets_are_missing(kind: str) -> None:
    wanted = [name for name in ("token", "secret", "key", "url") if "env:" in str(GOOD[kind].get(name, ""))]
    assert len(missing_secrets(kind, GOOD[kind], tools())) >= len(wanted)


# Secrets


def test_a_secret_of_the_environment_and_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "ding.token").write_text("  abc\n", encoding="utf-8")
    secrets = Secrets({"ANJU_NOTIFY_SECRET_X": "xyz", "DATABASE_URL": "postgresql://"}, tmp_path)
    assert secrets.read("env:X") == "xyz"
    assert secrets.read("file:ding.token") == "abc"
    (tmp_path / "ding.token").write_text("another", encoding="utf-8")
    assert secrets.read("file:ding.token") == "another", "a file that was changed counts at once"


@pytest.mark.parametrize(
    "reference",
    ["env:DATABASE_URL", "env:../X", "env:", "file:../outside", "file:/etc/passwd", "file:.hidden", "file:missing",
     "file:folder", "file:empty", "file:binary", "file:lines", "file:long", "xyz", "", "env:X\n"],
)  # fmt: skip
def test_what_is_no_secret(reference: str, tmp_path: Path) -> None:
    (tmp_path.parent / "outside").write_text("x", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    for name, content in {"empty": b" \n", "binary": b"\xff\xfe", "lines": b"a\nb", "long": b"x" * 9000}.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SecretError) as raised:
        Secrets({"DATABASE_URL": "postgresql://", "ANJU_NOTIFY_SECRET_X": "x"}, tmp_path).read(reference)
    assert "a\nb" not in str(raised.value)
    assert "postgresql" not in str(raised.value)


def test_without_a_folder_there_are_no_files() -> None:
    with pytest.raises(SecretError, match="ANJU_NOTIFY_SECRETS"):
        Secrets({}, None).read("file:x")


@given(st.text())
def test_no_reference_leaves_its_place(text: str) -> None:
    if is_reference(text):
        name = text.partition(":")[2]
        assert "/" not in name
        assert not name.startswith(".")


@given(st.text(min_size=4).filter(lambda text: not set(text) & set("0123456789")), st.text("0123456789"))
def test_a_hidden_secret_is_gone(secret: str, around: str) -> None:
    for form in (secret, quote(secret, safe="")):
        assert hide(around + form + around, (secret, "")) == f"{around}…{around}"


# Where to


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.100.100.200", "0.0.0.0", "::1", "::",
     "fe80::1", "fd00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2002:7f00:1::", "224.0.0.1",
     "ff02::1", "255.255.255.255", "240.0.0.1", "2001:db8::1"],
)  # fmt: skip
def test_what_is_not_public_takes_permission(address: str) -> None:
    assert not Reach().allows(address)


def test_public_addresses_and_permitted_networks() -> None:
    assert Reach().allows("8.8.8.8")
    assert Reach().allows("2001:4860:4860::8888")
    permitted = Reach(networks=(ip_network("10.1.0.0/16"),))
    assert permitted.allows("10.1.2.3")
    assert permitted.allows("::ffff:10.1.2.3")
    assert not permitted.allows("10.2.0.1")


async def test_a_name_is_allowed_if_all_its_addresses_are() -> None:
    with pytest.raises(NotReachableError, match="ANJU_NOTIFY_NETWORKS"):
        await resolve(Reach(), "localhost", 443)
    with pytest.raises(NotReachableError, match="is not known"):
        await resolve(Reach(), "nosuch.invalid", 443)
    with pytest.raises(NotReachableError):
        await resolve(Reach(), "x" * 70 + ".example.org", 443)
    await asyncio.sleep(0)


def test_the_tools_are_read_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("secret of a file", encoding="utf-8")
    read = read_tools(
        {
            "ANJU_NOTIFY_NETWORKS": "10.1.0.0/16, 192.168.7.9",
            "ANJU_NOTIFY_PLAIN": "Relay.example.org",
            "ANJU_NOTIFY_PROXY": "http://user:pass@proxy.example.org",
            "CREDENTIALS_DIRECTORY": str(tmp_path),
        }
    )
    assert read.http.reach.allows("192.168.7.9")
    assert read.http.reach.allows_plain("relay.example.org.")
    assert not read.http.reach.allows_plain("example.org")
    assert read.secrets.read("file:x") == "secret of a file"


def test_every_mistake_of_the_environment_is_said_without_passwords() -> None:
    with pytest.raises(ConfigError) as raised:
        read_tools(
            {
                "ANJU_NOTIFY_NETWORKS": "10.1.0.0/99",
                "ANJU_NOTIFY_PLAIN": "http://x/",
                "ANJU_NOTIFY_CA": "/nonexistent",
                "ANJU_NOTIFY_PROXY": "socks5://user:hunter2@proxy",
            }
        )
    assert len(raised.value.mistakes) == 4
    assert "hunter2" not in str(raised.value)
