"""One HTTP server for all robots, the webhook's receiver and a service behind Apprise."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from aiohttp import web

from simulators.robots import dingtalk, feishu, gotify, webhook, wecom
from simulators.robots.desk import Desk, Trouble
from simulators.robots.reply import Reply

TOKENS: Final = {
    "dingtalk": "566cc69da782ec-dingtalk-token",
    "wecom": "693a91f6-7wec-4bc4-97a0-0ec2sifa5aaa",
    "feishu": "b43e7bea-feishu-hook-token",
    "apprise": "AGotifyToken.15",
}
SECRETS: Final = {
    "dingtalk": "SEC240d7bb4c0bafc62dingtalk",
    "feishu": "feishu-Qm5vdCBhIHNlY3JldA",
    "webhook": "webhook-secret-of-the-stand-in",
}
PATHS: Final = {
    "dingtalk": "/robot/send",
    "wecom": "/cgi-bin/webhook/send",
    "feishu": "/open-apis/bot/v2/hook",
    "webhook": "/webhook",
    "apprise": "/message",
}
_HUGE: Final = 4 << 20
_Take = Callable[[web.Request, bytes], Reply]


class Robots:
    """The stand-ins, and where they are."""

    def __init__(self, desk: Desk, url: str, connected: Callable[[], int]) -> None:
        self.desk = desk
        self.url = url
        self.connected = connected
        """How many connections are open."""

    def address(self, service: str) -> str:
        """Where a service takes its requests, without token."""
        return self.url + PATHS[service]


@asynccontextmanager
async def serve_robots(
    desk: Desk,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
    now: Callable[[], float] = time.time,
) -> AsyncIterator[Robots]:
    """Serves all of them until the context ends. Signatures are compared with `now`, a Unix time. Raises OSError."""
    ding = dingtalk.DingTalkRobot(desk, TOKENS["dingtalk"], SECRETS["dingtalk"])
    we = wecom.WeComRobot(desk, TOKENS["wecom"])
    fei = feishu.FeishuBot(desk, TOKENS["feishu"], SECRETS["feishu"])
    receiver = webhook.Receiver(desk, SECRETS["webhook"])
    pushed = gotify.Gotify(desk, TOKENS["apprise"])
    takes: dict[str, _Take] = {
        dingtalk.SERVICE: lambda request, body: ding.take(request.query, body, now()),
        wecom.SERVICE: lambda request, body: we.take(request.query, body, now()),
        feishu.SERVICE: lambda request, body: fei.take(request.match_info["token"], body, now()),
        webhook.SERVICE: lambda request, body: receiver.take(request.headers, body, now()),
        gotify.SERVICE: lambda request, body: pushed.take(request.headers, body),
    }
    app = web.Application(client_max_size=1 << 20)
    for service, take in takes.items():
        path = PATHS[service] + ("/{token}" if service == "feishu" else "")
        app.router.add_post(path, _handler(desk, service, take))
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=tls).start()
        server, bound = runner.server, runner.addresses[0][1]
        assert server is not None
        yield Robots(desk, f"{'https' if tls else 'http'}://{host}:{bound}", lambda: len(server.connections))
    finally:
        await runner.cleanup()


def _handler(desk: Desk, service: str, take: _Take) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        trouble = desk.trouble(service)
        if trouble is not None:
            return await _troubled(desk, service, request, body, trouble, take)
        return _response(take(request, body))

    return handle


def _response(reply: Reply) -> web.Response:
    return web.Response(body=msgspec.json.encode(reply.said), status=reply.status, content_type="application/json")


async def _troubled(
    desk: Desk, service: str, request: web.Request, body: bytes, trouble: Trouble, take: _Take
) -> web.StreamResponse:
    """Does to a request what the trouble says; it counts as refused unless it is only slow."""
    match trouble.kind:
        case "slow":
            await asyncio.sleep(trouble.delay_s)
            return _response(take(request, body))
        case "garbage":
            answer = web.Response(body=b"<html>\xff not what you want</html>", content_type="text/html")
        case "huge":
            answer = web.Response(body=b" " * _HUGE, content_type="application/json")
        case "status":
            answer = web.Response(status=trouble.code, headers=trouble.headers, text="no")
        case "code":
            said = {"errcode": trouble.code, "errmsg": "as ordered", "code": trouble.code, "msg": "as ordered"}
            answer = _response(Reply(said))
        case "echo":
            all_of_it = f"{request.path_qs} {dict(request.headers)} {body.decode(errors='replace')}"
            answer = _response(Reply({"errcode": 99, "errmsg": all_of_it, "code": 99, "msg": all_of_it}, 400))
        case "drip":
            desk.refuse(service, "drip")
            return await _drip(request)
        case _:
            desk.refuse(service, "cut")
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
    desk.refuse(service, trouble.kind)
    return answer


async def _drip(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    while True:
        await answer.write(b" ")
        await asyncio.sleep(0.02)
