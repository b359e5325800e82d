"""`anju-sim robots`: the stand-ins for trying notification out, with what a cloud must be told to use them."""

import json
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

from contract.errors import AnjuError
from contract.service import until_stopped
from simulators.robots.desk import Delivery, Desk
from simulators.robots.server import SECRETS, TOKENS, Robots, serve_robots
from simulators.robots.smtp import MailServer, serve_smtp

_HOST = "127.0.0.1"


async def serve(port: int, mail_port: int, log: Path | None, say: Callable[[str], None]) -> None:
    """Serves until Ctrl-C, and says each message that is accepted. Raises AnjuError."""
    desk = Desk(log=log, also=lambda delivery: say(shown(delivery)))
    async with AsyncExitStack() as stack:
        try:
            robots = await stack.enter_async_context(serve_robots(desk, host=_HOST, port=port))
            mail = await stack.enter_async_context(serve_smtp(desk, host=_HOST, port=mail_port))
        except OSError as e:
            raise AnjuError(f"cannot listen: {e.strerror}. Choose other ports with --port and --mail-port.") from e
        for line in instructions(robots, mail):
            say(line)
        await until_stopped()


def instructions(robots: Robots, mail: MailServer) -> Iterator[str]:
    """What to give the cloud's process, and the configuration of a channel of each kind."""
    yield "Give the cloud these variables:"
    yield f"  ANJU_NOTIFY_NETWORKS={_HOST}/32 ANJU_NOTIFY_PLAIN={_HOST}"
    for kind, value in (*TOKENS.items(), *((f"{kind}_secret", value) for kind, value in SECRETS.items())):
        yield f"  ANJU_NOTIFY_SECRET_{kind}={value}"
    yield "and channels of these configurations:"
    for kind, config in configurations(robots, mail).items():
        yield f"  {kind:9} {json.dumps(config)}"


def configurations(robots: Robots, mail: MailServer) -> dict[str, dict[str, object]]:
    """The configuration of a channel of each kind."""
    return {
        "dingtalk": {
            "token": "env:dingtalk", "secret": "env:dingtalk_secret", "address": robots.address("dingtalk"),
        },
        "wecom": {"key": "env:wecom", "address": robots.address("wecom")},
        "feishu": {"token": "env:feishu", "secret": "env:feishu_secret", "address": robots.address("feishu")},
        "webhook": {"url": robots.address("webhook"), "secret": "env:webhook_secret"},
        "email": {
            "host": mail.host,
            "port": mail.port,
            "tls": "none",
            "sender": "anju@example.org",
            "to": ["guard@example.org"],
        },
    }  # fmt: skip


def shown(delivery: Delivery) -> str:
    """A message for a terminal."""
    to = f" @ {', '.join(delivery.mentioned)}" if delivery.mentioned else ""
    return f"--- {delivery.service}{to}\n{delivery.text}\n"
