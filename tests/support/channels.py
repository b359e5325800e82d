"""A channel of each kind, against its stand-in."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network

import msgspec

from cloud.notify.channel import Channel, Line, Message, NotWantedError
from cloud.notify.channels import make_channel
from cloud.notify.http import Http
from cloud.notify.reach import Reach
from cloud.notify.secrets import Secrets
from cloud.notify.tools import Tools
from simulators.robots.desk import Desk, Trouble
from simulators.robots.server import SECRETS, TOKENS, serve_robots
from simulators.robots.smtp import PASSWORD, USERNAME, serve_smtp

LOCAL = Reach(networks=(ip_network("127.0.0.0/8"),), plain=frozenset({"127.0.0.1"}))
ALL_SECRETS = {**TOKENS, **{f"{kind}_secret": secret for kind, secret in SECRETS.items()}, "email": PASSWORD}
ENVIRONMENT = {f"ANJU_NOTIFY_SECRET_{name}": secret for name, secret in ALL_SECRETS.items()}
_TRUST = ssl.create_default_context()  # takes 20 ms to make
KINDS = ("apprise", "dingtalk", "email", "feishu", "webhook", "wecom")
ROBOTS = ("dingtalk", "feishu", "wecom")


class Gate:
    """What a sender hands to a channel; notes what was there when it was entered."""

    def __init__(self, rig: "Rig") -> None:
        self._rig = rig
        self.is_wanted = True
        self.entered = 0
        self.connected = 0
        self.asked = 0

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[None]:
        self.connected = self._rig.connected()
        self.asked = len(self._rig.desk.accepted) + len(self._rig.desk.refused)
        if not self.is_wanted:
            raise NotWantedError
        self.entered += 1
        yield


@dataclass
class Rig:
    """A stand-in and what a channel needs to speak to it."""

    kind: str
    desk: Desk
    connected: Callable[[], int]
    config: dict
    environment: dict = field(default_factory=lambda: dict(ENVIRONMENT))
    now: float = 1_800_000_000.0

    def __post_init__(self) -> None:
        self.gate = Gate(self)

    def channel(self, *, reach: Reach = LOCAL, connect_s=3.0, answer_s=3.0, trust=None, **changes) -> Channel:
        http = Http(reach, connect_s=connect_s, answer_s=answer_s, trust=trust or _TRUST)
        tools = Tools(http, Secrets(self.environment, None), lambda: self.now)
        return make_channel(self.kind, self.config | changes, tools)

    def trouble(self, kind: str, **more) -> None:
        self.desk.troubles[self.kind] = Trouble(kind=kind, **more)


@asynccontextmanager
async def rig_of(kind: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[Rig]:
    """Without `tls` in clear, else by TLS from the start."""
    async with AsyncExitStack() as stack:
        desk = Desk(clock=lambda: rig.now)
        if kind == "email":
            server = await stack.enter_async_context(
                serve_smtp(desk, tls=tls, is_implicit=tls is not None, wants_login=True)
            )
            config = {
                "host": server.host, "port": server.port, "tls": "implicit" if tls else "none", "username": USERNAME,
                "password": "env:email", "sender": "anju@example.org", "to": ["guard@example.org"],
            }  # fmt: skip
            connected = lambda: desk.connections  # noqa: E731
        else:
            robots = await stack.enter_async_context(serve_robots(desk, tls=tls, now=lambda: rig.now))
            address = robots.address(kind)
            config = {
                "apprise": {"url": "env:apprise_url"},
                "dingtalk": {"token": "env:dingtalk", "secret": "env:dingtalk_secret", "address": address},
                "feishu": {"token": "env:feishu", "secret": "env:feishu_secret", "address": address},
                "webhook": {"url": address, "secret": "env:webhook_secret"},
                "wecom": {"key": "env:wecom", "address": address},
            }[kind]
            connected = robots.connected
        rig = Rig(kind, desk, connected, config)
        if kind == "apprise":
            where = robots.url.partition("://")[2]
            schema = "gotifys" if tls else "gotify"
            rig.environment["ANJU_NOTIFY_SECRET_apprise_url"] = f"{schema}://{where}/{TOKENS['apprise']}"
        yield rig


def message(*texts: str, **changes) -> Message:
    lines = tuple(
        Line(text=text, priority="critical" if number == 1 else "low", subject="alarm", id=f"alarm-{number}",
             url=f"https://anju.example.org/a/token{number}")
        for number, text in enumerate(texts or ("西苑小区 3号楼 烟感报警",), 1)
    )  # fmt: skip
    made = Message(id="5b1f9c1e-1", title="火警：西苑小区", lines=lines, url="https://anju.example.org/alarms")
    return msgspec.structs.replace(made, **changes)


def secrets_in(text: str) -> list[str]:
    return [name for name, secret in ALL_SECRETS.items() if secret in text]
