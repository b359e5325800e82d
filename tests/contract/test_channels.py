"""What every channel does: accepted, refused, too fast, slow, garbage, not reachable, not wanted, and what it says."""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from cloud.notify.channel import Line, NotWantedError, Result, split
from cloud.notify.channels import CHANNELS
from cloud.notify.reach import Reach
from simulators.robots.desk import Desk
from tests.support.certificates import certificates
from tests.support.channels import ALL_SECRETS, KINDS, LOCAL, ROBOTS, Rig, message, rig_of, secrets_in
from tests.support.waiting import eventually

CRITICAL = (
    "「3号楼」 *烟感* #1 报警\n第二行 <b>&amp; \"引号\" 'x' `code` [x](http://evil) ![i](http://evil/i.png)",
    "plain",
)

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # Apprise imports it


@pytest.fixture(params=KINDS)
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    async with rig_of(request.param) as rig:
        yield rig


@pytest.fixture(params=ROBOTS)
async def robot(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    async with rig_of(request.param) as rig:
        yield rig


def test_every_channel_is_under_this_contract() -> None:
    assert set(KINDS) == CHANNELS.keys()


def refused(result: Result, *, again: bool, uncertain: bool = False) -> None:
    """It says why, for people and for machines."""
    assert not result.accepted
    assert result.reason
    assert result.code
    assert (result.again, result.uncertain) == (again, uncertain), result


# Accepted


async def test_accepted(rig: Rig) -> None:
    result = await rig.channel().send(message("烟感报警", "水浸报警"), rig.gate)
    assert result == Result(accepted=True)
    assert rig.gate.entered == 1
    assert rig.gate.asked == 0, "nothing is sent before the gate"
    (delivery,) = rig.desk.accepted
    for words in ("火警：西苑小区", "烟感报警", "水浸报警", "https://anju.example.org/a/token2", "org/alarms"):
        assert words in delivery.text


async def test_a_repeat_says_so_in_the_language_of_the_message(rig: Rig) -> None:
    channel = rig.channel()
    for language, words in (("zh", "重复"), ("en", "repeat")):
        said = message("x", repeat=True, language=language, id=f"m-{language}")
        assert (await channel.send(said, rig.gate)).accepted
        assert words in rig.desk.accepted[-1].text


# The gate


async def test_what_is_not_wanted_is_not_sent(rig: Rig) -> None:
    rig.gate.is_wanted = False
    with pytest.raises(NotWantedError):
        await rig.channel().send(message(), rig.gate)
    assert rig.gate.entered == 0
    if rig.kind != "apprise":
        assert rig.gate.connected == 1, "it had connected before it asked"
    rig.gate.is_wanted = True
    assert (await rig.channel().send(message(id="another"), rig.gate)).accepted
    assert len(rig.desk.accepted) == 1
    assert rig.desk.refused == []


async def test_the_locks_behind_the_gate_are_held_for_no_answer(rig: Rig) -> None:
    """Apprise alone holds them while it sends, see its README."""
    left = asyncio.get_running_loop().create_future()

    class Gate:
        async def __aenter__(self) -> None:
            pass

        async def __aexit__(self, *_: object) -> None:
            left.set_result(len(rig.desk.accepted))

    rig.trouble("slow", delay_s=0.2)
    assert (await rig.channel().send(message(), Gate)).accepted
    assert await left == (1 if rig.kind == "apprise" else 0)


async def test_what_the_gate_raises_comes_out(rig: Rig) -> None:
    class Gate:
        async def __aenter__(self) -> None:
            raise OSError("the database is away")

        async def __aexit__(self, *_: object) -> None:
            raise AssertionError

    with pytest.raises(OSError, match="the database is away"):
        await rig.channel().send(message(), Gate)
    assert rig.desk.accepted == []


async def test_a_send_that_is_cancelled_leaves_no_connection(rig: Rig) -> None:
    rig.trouble("slow", delay_s=0.3)
    sending = asyncio.create_task(rig.channel().send(message(), rig.gate))
    await eventually(lambda: rig.gate.entered)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    if rig.kind not in {"apprise", "email"}:  # a thread goes on; the mail server counts what came
        await eventually(lambda: rig.connected() == 0)


# Refused


async def test_refused_by_status(rig: Rig) -> None:
    rig.trouble("status", code=554 if rig.kind == "email" else 403)
    result = await rig.channel().send(message(), rig.gate)
    refused(result, again=False)
    assert result.code in {"HTTP 403", "SMTP 554"}


async def test_a_trouble_of_its_own_passes(rig: Rig) -> None:
    rig.trouble("status", code=451 if rig.kind == "email" else 502)
    result = await rig.channel().send(message(), rig.gate)
    refused(result, again=True, uncertain=rig.kind != "email")
    rig.desk.troubles.clear()
    assert (await rig.channel().send(message(), rig.gate)).accepted


@pytest.mark.parametrize("rig", [kind for kind in KINDS if kind != "email"], indirect=True)  # mail has none
async def test_a_redirect_is_not_followed(rig: Rig) -> None:
    if rig.kind == "apprise":
        rig.environment["ANJU_NOTIFY_SECRET_apprise_url"] += "?redirect=yes"
    rig.trouble("status", code=307, headers={"Location": "/elsewhere"})
    result = await rig.channel().send(message(), rig.gate)
    refused(result, again=False)
    assert result.code == "HTTP 307"
    assert len(rig.desk.refused) == 1


@pytest.mark.parametrize("code", [40035, 310000, 93000, 19021, 7])
async def test_refused_with_http_200_and_a_code(robot: Rig, code: int) -> None:
    robot.trouble("code", code=code)
    result = await robot.channel().send(message(), robot.gate)
    refused(result, again=False)
    assert result.code == f"{'code' if robot.kind == 'feishu' else 'errcode'} {code}"
    assert "as ordered" in result.reason


async def test_a_wrong_secret_is_refused_and_says_where_to_look(rig: Rig) -> None:
    for name in rig.environment:
        if name != "ANJU_NOTIFY_SECRET_apprise_url":
            rig.environment[name] = "wrong-thing"
    rig.environment["ANJU_NOTIFY_SECRET_apprise_url"] = rig.environment.get(
        "ANJU_NOTIFY_SECRET_apprise_url", ""
    ).replace(ALL_SECRETS["apprise"], "AAAAAAAAAAAAAAA")
    refused(await rig.channel().send(message(), rig.gate), again=False)
    assert rig.desk.accepted == []
    assert len(rig.desk.refused) == 1


@pytest.mark.parametrize("rig", ["dingtalk", "feishu", "webhook"], indirect=True)  # the others sign nothing
async def test_a_signature_of_another_hour_is_refused(rig: Rig) -> None:
    channel = rig.channel()
    sent_at, rig.now = rig.now, rig.now + 4000
    late = channel._tools.clock  # the channel's clock is right, the service's is ahead
    assert late() == rig.now
    channel._tools = msgspec.structs.replace(channel._tools, clock=lambda: sent_at)
    refused(await channel.send(message(), rig.gate), again=False)


@pytest.mark.parametrize("robot", [kind for kind in ROBOTS if kind != "wecom"], indirect=True)  # it knows none
async def test_a_keyword_is_put_in(robot: Rig) -> None:
    assert (await robot.channel(keyword="安居告警").send(message(), robot.gate)).accepted
    assert "安居告警" in robot.desk.accepted[0].text


# Too fast


@pytest.mark.parametrize(("kind", "most", "wait_s"), [("dingtalk", 20, 600), ("wecom", 20, 60), ("feishu", 5, 60)])
async def test_who_sends_too_fast_hears_how_long_to_wait(kind: str, most: int, wait_s: float) -> None:
    async with rig_of(kind) as rig:
        channel = rig.channel()
        for number in range(most):
            assert (await channel.send(message(id=f"m{number}"), rig.gate)).accepted
        result = await channel.send(message(id="one too many"), rig.gate)
        refused(result, again=True)
        assert result.retry_after_s == wait_s
        rig.now += wait_s + 1
        assert (await channel.send(message(id="after that"), rig.gate)).accepted
        assert channel.limits.rate_per_min < 21 if kind != "feishu" else channel.limits.rate_per_s < 6


async def test_a_service_that_wants_nothing_now(rig: Rig) -> None:
    rig.trouble("status", code=450 if rig.kind == "email" else 429, headers={"Retry-After": "7"})
    result = await rig.channel().send(message(), rig.gate)
    refused(result, again=True)
    assert result.retry_after_s == {"email": None, "apprise": 60.0}.get(rig.kind, 7.0)


async def test_feishu_says_too_fast_with_http_400_too() -> None:
    async with rig_of("feishu") as rig:
        channel = rig.channel()
        for words, again in (("too many request", True), ("Bad Request", False)):
            body = msgspec.json.encode({"code": 9499, "msg": words, "data": {}})
            answered = channel.judge(_answer(400, body))
            refused(answered, again=again)


# Slow, garbage, not there


async def test_slow(rig: Rig) -> None:
    rig.trouble("slow", delay_s=0.6)
    result = await rig.channel(answer_s=0.2).send(message(), rig.gate)
    refused(result, again=True, uncertain=True)
    assert result.code == ("apprise" if rig.kind == "apprise" else "time-out")


GARBAGE = [(channel, kind) for channel in KINDS for kind in ("garbage", "huge", "drip", "cut")]
GARBAGE.remove(
    ("apprise", "drip")
)  # would hold a thread for ever: Apprise bounds each part of an answer, not the whole


@pytest.mark.parametrize(("rig", "kind"), GARBAGE, indirect=["rig"])
async def test_garbage(rig: Rig, kind: str) -> None:
    rig.trouble(kind)
    result = await rig.channel(answer_s=0.4, connect_s=1.0).send(message(), rig.gate)
    if kind in {"garbage", "huge"} and rig.kind in {"webhook", "apprise"}:
        assert result.accepted, "2xx is what counts there"
    elif rig.kind == "email" and kind != "cut":
        refused(result, again=True)
        assert rig.gate.entered == 0
    else:
        refused(result, again=True, uncertain=True)


async def test_nobody_there(rig: Rig) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    if rig.kind == "email":
        changes = {"port": port}
    elif rig.kind == "apprise":
        changes = {}
        rig.environment["ANJU_NOTIFY_SECRET_apprise_url"] = f"gotify://127.0.0.1:{port}/{ALL_SECRETS['apprise']}"
    else:
        changes = {"url" if rig.kind == "webhook" else "address": f"http://127.0.0.1:{port}/x"}
    result = await rig.channel(**changes).send(message(), rig.gate)
    refused(result, again=True, uncertain=rig.kind == "apprise")
    if rig.kind != "apprise":
        assert result.code == "connect"
        assert rig.gate.entered == 0


async def test_a_certificate_of_somebody_else(rig: Rig, tmp_path: Path) -> None:
    _, chain, key = certificates(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain, key)
    async with rig_of(rig.kind, server) as secure:
        result = await secure.channel().send(message(), secure.gate)
        refused(result, again=secure.kind == "apprise", uncertain=secure.kind == "apprise")
        assert secure.desk.accepted == []
        if secure.kind == "apprise":
            return  # it looks at the system's authorities alone
        assert result.code == "tls"
        assert secure.gate.entered == 0
        trust = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        assert (
            await secure.channel(trust=trust, reach=Reach(networks=LOCAL.networks)).send(message(), secure.gate)
        ).accepted


async def test_apprise_takes_no_address_that_turns_certificates_off() -> None:
    async with rig_of("apprise") as rig:
        rig.environment["ANJU_NOTIFY_SECRET_apprise_url"] += "?verify=no"
        result = await rig.channel().send(message(), rig.gate)
        refused(result, again=False)
        assert "verify=no" in result.reason
        assert rig.gate.entered == 0


async def test_apprise_says_so_when_all_its_threads_hang() -> None:
    async with rig_of("apprise") as rig:
        rig.trouble("slow", delay_s=0.3)
        results = await asyncio.gather(*(rig.channel().send(message(), rig.gate) for _ in range(6)))
        assert [result.code for result in results if not result.accepted] == ["busy", "busy"]
        assert len(rig.desk.accepted) == 4
        assert (await rig.channel().send(message(), rig.gate)).accepted


async def test_starttls(tmp_path: Path) -> None:
    from simulators.robots.smtp import serve_smtp

    authority, chain, key = certificates(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain, key)
    for offered in (server, None):
        desk = Desk()
        async with serve_smtp(desk, tls=offered, wants_login=True) as mail:
            config = {"host": mail.host, "port": mail.port, "username": "anju", "password": "env:email",
                      "sender": "anju@example.org", "to": ["guard@example.org"]}  # fmt: skip
            rig = Rig("email", desk, lambda: 0, config)
            trust = ssl.create_default_context(cafile=str(authority))
            result = await rig.channel(trust=trust).send(message(), rig.gate)
            assert result.accepted is (offered is not None), "a password never goes in clear because TLS is missing"
            if offered is None:
                refused(result, again=False)
                assert rig.gate.entered == 0


async def test_private_addresses_and_speech_in_clear_take_permission(rig: Rig) -> None:
    changes = {}
    if rig.kind == "email":
        changes = {"tls": "starttls"}
    for reach, code in ((Reach(plain=LOCAL.plain), "private address"), (Reach(networks=LOCAL.networks), "address")):
        if rig.kind == "email" and code == "address":
            changes = {"tls": "none"}
        result = await rig.channel(reach=reach, **changes).send(message(), rig.gate)
        refused(result, again=False)
        assert result.code == code
    assert rig.gate.entered == 0
    assert rig.connected() == 0


# What it says


@pytest.mark.parametrize("language", ["zh", "en"])
async def test_markup_in_a_text_stays_a_text(rig: Rig, language: str) -> None:
    said = message(*CRITICAL, '<@all> @所有人 <at user_id="all">x</at>', language=language)
    assert (await rig.channel().send(said, rig.gate)).accepted
    (delivery,) = rig.desk.accepted
    assert delivery.mentioned in {(), ("guard@example.org",)}
    if rig.kind in ROBOTS:
        assert "<@" not in delivery.text
        assert "<at" not in delivery.text
    if rig.kind in {"dingtalk", "wecom"}:
        assert "![" not in delivery.text
        assert delivery.text.count("](") == 4, "the links of the lines and of the message alone"
    if rig.kind == "email":
        assert "<b>" not in delivery.said["html"].replace("<body>", "")


async def test_a_line_that_is_much_too_long_is_cut(rig: Rig) -> None:
    for text in ("火" * 300_000, "\n".join(["a line of a text"] * 30_000), '"\\\n' * 100_000):
        rig.now += 61
        said = message(text, "另一条", id=f"m{hash(text)}")
        assert rig.channel().room(said) == 1
        assert (await rig.channel().send(said, rig.gate)).accepted
        assert "…" in rig.desk.accepted[-1].text
        assert "1" in rig.desk.accepted[-1].text, "it says that one is left out"


async def test_a_storm_is_split_so_that_each_alarm_is_named(rig: Rig) -> None:
    storm = message(*(f"第{number}号烟感报警 {number:04}\nbuilding {number}" for number in range(400)))
    parts = split(rig.channel(), storm)
    assert len({part.id for part in parts}) == len(parts)
    for part in parts:
        rig.now += 60
        assert (await rig.channel().send(part, rig.gate)).accepted
    text = "\n".join(delivery.text for delivery in rig.desk.accepted)
    assert all(f"{number:04}" in text for number in range(400))
    assert "未列出" not in text
    assert "…" not in text


@pytest.mark.parametrize("mention", ["nobody", "recipients", "all"])
async def test_people_are_mentioned_only_where_it_is_configured(mention: str, robot: Rig) -> None:
    if robot.kind == "feishu":
        changes = {"mention": {"nobody": [], "recipients": ["ou_1"], "all": ["all"]}[mention]}
    else:
        changes = {"mention": mention}
    from cloud.notify.channel import Recipient

    said = message("x", to=(Recipient(name="王芳", mobile="13800000001"), Recipient(name="nobody")))
    assert (await robot.channel(**changes).send(said, robot.gate)).accepted
    mentioned = robot.desk.accepted[0].mentioned
    number = "ou_1" if robot.kind == "feishu" else "13800000001"
    assert [name.lstrip("@") for name in mentioned] == {"nobody": [], "recipients": [number], "all": ["all"]}[mention]


# Secrets


async def test_a_missing_secret_says_where_to_set_it(rig: Rig) -> None:
    if rig.kind == "webhook":
        rig.config["headers"] = {"Authorization": "env:nothing_there"}
    rig.environment.clear()
    result = await rig.channel().send(message(), rig.gate)
    refused(result, again=False)
    assert result.code == "secret"
    assert "ANJU_NOTIFY_SECRET_" in result.reason
    assert rig.gate.entered == 0


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """What libraries' loggers print, as contract/service.py sets them up: from WARNING on, whatever our own level."""
    lines: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler = Handler(logging.WARNING)
    logging.getLogger().addHandler(handler)
    yield lines
    logging.getLogger().removeHandler(handler)


async def test_no_secret_is_in_a_result_or_a_log(
    rig: Rig, logged: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    if rig.kind == "webhook":
        rig.config |= {"headers": {"Authorization": "env:email"}, "recipients": True}
    said = []
    for kind, code in (("echo", 0), ("status", 500), ("garbage", 0), ("cut", 0), ("slow", 0), ("code", 99)):
        rig.trouble(kind, code=code, delay_s=0.5)
        said.append(await rig.channel(answer_s=0.1).send(message(), rig.gate))
    rig.desk.troubles.clear()
    for name in rig.environment:
        rig.environment[name] = rig.environment[name][:-1] + "x" + rig.environment[name][-1:]
    said.append(await rig.channel().send(message(), rig.gate))
    printed = capsys.readouterr()
    for text in (repr(said), printed.out, printed.err, *logged):
        assert secrets_in(text) == []
    assert logged == [], "what Apprise logs is its own, and may hold anything"


def _answer(status: int, body: bytes):
    from cloud.notify.http import Answer

    return Answer(status=status, headers={}, body=body, whole=True)


def test_a_line_is_what_machines_read() -> None:
    assert msgspec.to_builtins(Line(text="x", id="1")) == {
        "text": "x", "priority": "", "subject": "", "id": "1", "url": "",
    }  # fmt: skip
