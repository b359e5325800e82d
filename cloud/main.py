"""The cloud's composition root: reads like a table of contents and is the only file that knows every stage."""

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Generator, Iterable, Sequence
from contextlib import asynccontextmanager, contextmanager
from uuid import UUID

import structlog
import uvicorn
from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cloud import problems
from cloud.alarms import unheard
from cloud.alarms.engine import Engine
from cloud.alarms.fewer import Fewer
from cloud.alarms.retire import RulesInForce
from cloud.alarms.rules import RuleBook
from cloud.alarms.rules.model import RULE_KINDS
from cloud.alarms.rules.stored import sync_pack
from cloud.alarms.timers import Timers
from cloud.commands.commands import Commands
from cloud.commands.downs import TAKEOVER, Downs
from cloud.console.app import console
from cloud.console.backend.alarms import Alarms
from cloud.console.backend.devices import Devices
from cloud.console.backend.gateways import Gateways as ConsoleGateways
from cloud.console.backend.identity import CookieIdentity
from cloud.console.backend.incidents import IncidentPages
from cloud.console.backend.quarantine import Quarantine
from cloud.console.backend.quick import QuickLinks
from cloud.console.backend.rules import Rules
from cloud.console.live.hub import Hub
from cloud.identity import routes as identity_routes
from cloud.identity.beats import Beats
from cloud.identity.gateways import Gateways
from cloud.identity.people import People, Right, roles_with
from cloud.incidents.incidents import Actor, Incidents, Word
from cloud.incidents.mobilise import Mobilisations
from cloud.ingest import routes as ingest_routes
from cloud.ingest.ingest import Ingest
from cloud.ingest.quarantine import replay
from cloud.ingest.settle import Settler
from cloud.notify.channel import Language
from cloud.notify.channels import make_channel
from cloud.notify.describe import RuleText, describer
from cloud.notify.duty import people_on_duty
from cloud.notify.escalation import TOPIC, Escalations
from cloud.notify.links import Links
from cloud.notify.sender import Sender
from cloud.notify.tools import read_tools
from cloud.settings import Settings
from cloud.store import Connection, Database, floods
from cloud.store.due import keep_up
from cloud.store.gateways import Gateway
from cloud.upkeep.deadman import Deadman
from cloud.upkeep.upkeep import Upkeep
from contract.errors import AnjuError
from contract.service import keep_watchdog, notify, until_stopped
from contract.session import DOWN_PATH, HEARTBEAT_S, MAX_BEAT_S

log = structlog.get_logger()
CONNECTIONS = 20
INGEST_AT_ONCE = 8
"""Of urgent; with the groups of bulk and settling that leaves connections for the console, however many boxes come."""
_WAIT_FOR_DATABASE_S = 60.0
_KEEP_ALIVE_S = round(MAX_BEAT_S) + 15
"""Longer than the pause between two beats of a box, so that a beat needs no new connection."""
_STOP_S = 5


class Cloud:
    """Every stage of the cloud, wired to its neighbours, over one database. `heartbeat_s` is shorter in tests."""

    def __init__(self, database: Database, settings: Settings, heartbeat_s: float = HEARTBEAT_S) -> None:
        self.database = database
        self.hub = Hub()
        self.people = People(database)
        self.gateways = Gateways(database, *settings.box_urls)
        self.beats = Beats(database)
        self.escalations = Escalations(floods.in_flood)
        self.engine = Engine(RuleBook(), announce=self.escalations.announce)
        self.fewer = Fewer(database, self.engine)
        self.rules = RulesInForce(database, self.engine)
        self.timers = Timers(self.engine)
        self.commands = Commands(database)
        self.incidents = Incidents(self.escalations.tell, self._label)
        self.mobilisations = Mobilisations(self.escalations.tell, self.commands.order_all, people_on_duty)
        self.describe = describer(self._text_of, RULE_KINDS)
        self.roles = roles_with(Right.ACKNOWLEDGE)
        tools = read_tools()
        self.sender = Sender(
            database, lambda row: make_channel(row.kind, row.config, tools), self.describe, settings.public_url,
            roles=self.roles, wanted={"incident": self.incidents.wanted, "mobilisation": self.mobilisations.wanted},
        )  # fmt: skip
        self.downs = Downs(database, self._box, heartbeat_s)
        self.settler = Settler(database)
        self.ingest = Ingest(
            database, self.fewer.evaluate, self.commands.answer, self.settler.landed, self.settler.crowds,
            self.engine.evaluate_bulk,
        )  # fmt: skip
        self.upkeep = Upkeep(database, settings.keep)
        self.deadman = Deadman(database, settings.deadman)
        self.pages = self._app(settings)

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application. A down stream passes by the frames of FastAPI, which it would keep for as long as it is
        open.
        """
        if scope["type"] != "http" or scope["path"] != DOWN_PATH or scope["method"] != "GET":
            await self.pages(scope, receive, send)
            return
        try:
            await self.downs(scope, receive, send)
        except AnjuError as e:
            await problems.answer(DOWN_PATH, e)(scope, receive, send)

    def _app(self, settings: Settings) -> FastAPI:
        app = FastAPI(title="Anju", docs_url=None, redoc_url=None, openapi_url=None)
        problems.add_handlers(app)
        app.include_router(identity_routes.router(self.gateways, self.beats))
        app.include_router(ingest_routes.router(self.ingest, self._living_box, INGEST_AT_ONCE))
        app.add_api_route("/edge/{rest:path}", _no_such_address, methods=["GET", "POST"])
        app.add_api_route("/healthz", _alive)
        app.add_api_route("/readyz", self._ready)
        app.add_api_route("/metrics", _metrics)
        pages = console(
            CookieIdentity(self.people, https=settings.https),
            Alarms(self.database, self.engine),
            Devices(self.database, self.commands),
            ConsoleGateways(self.database),
            Quarantine(self.database, self.replay),
            Rules(self.database),
            self.hub,
            incidents_data=IncidentPages(self.database, self.incidents, self.mobilisations),
            quick_data=QuickLinks(Links(self.database, self.engine.acknowledge, self.roles), self.describe),
            https=settings.https,
        )
        app.mount("/", pages)  # last: it answers every address that nobody else does
        return app

    async def _box(self, request: Request) -> Gateway:
        return await identity_routes.authenticate(self.gateways, request)

    async def _living_box(self, request: Request) -> Gateway:
        """The box of a request's token, which lives: who sends blocks need not beat."""
        gateway = await self._box(request)
        self.beats.heard(gateway)
        return gateway

    async def replay(self, block: int) -> str:
        """Stores a block of the quarantine; returns why that cannot be done, "" where it was."""
        return await replay(
            self.database, self.fewer.evaluate, self.commands.answer, block, evaluate_bulk=self.engine.evaluate_bulk
        )

    async def _ready(self) -> Response:
        if await self.database.healthy():
            return PlainTextResponse("ready\n")
        return PlainTextResponse("the database does not answer\n", 503)

    async def _label(
        self, connection: Connection, alarms: Sequence[UUID], estate: int, label: Word, by: Actor
    ) -> set[str]:
        """What an incident was, its alarms were."""
        assert by.person is not None
        topics: set[str] = set()
        for alarm in alarms:
            topics |= await self.engine.label(connection, alarm, [estate], by.person, by.who, label, by.address)
        return topics

    def _text_of(self, rule: str, language: Language) -> RuleText | None:
        found = self.engine.book.get(rule)
        return getattr(found.text, language) if found else None

    def _woken(self, topics: frozenset[str]) -> None:
        self.downs.woken(topics)
        if not topics or TOPIC in topics:
            self.sender.wake()
        if topics:
            self.hub.publish(topics)
        else:
            self.hub.publish_all()

    def _hears(self, alive: bool) -> None:
        self.hub.alive = alive  # while this process is deaf its pages say that they are not live

    def close_streams(self) -> None:
        """Ends what never ends by itself, so that the server can stop."""
        self.hub.close()
        self.downs.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[set[asyncio.Task[None]]]:
        """The stages' own tasks, none of which ends by itself: listening, giving up on late commands, upkeep."""
        async with self.database.transaction() as connection:
            await sync_pack(connection)
        tasks = {
            asyncio.create_task(self.database.listen(self._woken, self._hears), name="listen"),
            asyncio.create_task(self.commands.expire(), name="expire commands"),
            asyncio.create_task(self.rules.run(), name="rules in force"),
            asyncio.create_task(self.timers.keep_conditions(self.database), name="conditions due"),
            asyncio.create_task(self.timers.keep_alarms(self.database), name="alarms due"),
            asyncio.create_task(self.fewer.sweep.run(), name="look after boxes"),
            asyncio.create_task(unheard.run(self.database, self.engine), name="look for silent points"),
            asyncio.create_task(keep_up(self.fewer.windows.due, self.database, "windows"), name="windows due"),
            asyncio.create_task(keep_up(self.escalations.due, self.database, "escalations"), name="escalations due"),
            asyncio.create_task(self.sender.run(), name="send messages"),
            asyncio.create_task(keep_up(self.incidents.due, self.database, "incidents"), name="incidents due"),
            asyncio.create_task(
                keep_up(self.mobilisations.due, self.database, "mobilisations"), name="mobilisations due"
            ),
            asyncio.create_task(self.downs.run(), name="down streams"),
            asyncio.create_task(self.beats.run(), name="write beats"),
            asyncio.create_task(self.settler.run(), name="settle"),
            asyncio.create_task(self.upkeep.roll_up(), name="roll up"),
            asyncio.create_task(self.upkeep.retain(), name="drop what is too old"),
            asyncio.create_task(self.deadman.run(), name="dead man's switch"),
        }
        try:
            yield tasks
        finally:
            await _cancel(tasks)


async def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _no_such_address() -> Response:
    """What the console would answer with a page for people."""
    return problems.problem(404, "There is no such address", "is this cloud older than the box? Update the cloud first")


async def _alive() -> Response:
    return PlainTextResponse("alive\n")


async def _metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the process is stopped by ours."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leaves the process's signal handlers as they are."""
        yield


class _Connection(HttpToolsProtocol):
    """uvicorn's, which keeps a connection that was reset in memory until it would have been idle for too long."""

    def on_message_begin(self) -> None:
        """Offers to be taken over, as an extension of ASGI."""
        super().on_message_begin()
        self.scope["extensions"] = {TAKEOVER: {"by": self._give_up}}

    def _give_up(self, successor: asyncio.Protocol) -> asyncio.Transport:
        """Hands the connection over, and keeps nothing that would keep itself in memory."""
        transport, self.cycle.disconnected = self.transport, True
        self._unset_keepalive_if_required()
        self.connections.discard(self)
        transport.set_protocol(successor)
        vars(self).clear()
        return transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Lets go of it at once."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as e:
        where = f"{settings.host}:{settings.port}"
        raise AnjuError(
            f"cannot listen on {where}: {e.strerror}. Is another Anju running? Else set ANJU_LISTEN."
        ) from e


def http_server(app: ASGIApp, settings: Settings) -> uvicorn.Server:
    """The server of an application; give it a listening socket, and set `should_exit` to stop it."""
    return _Server(
        uvicorn.Config(
            app, interface="asgi3", http=_Connection, host=settings.host, port=settings.port,
            access_log=False, log_config=None, lifespan="off",
            proxy_headers=bool(settings.trusted_proxy), forwarded_allow_ips=settings.trusted_proxy or None,
            server_header=False, date_header=False, timeout_graceful_shutdown=_STOP_S, timeout_keep_alive=_KEEP_ALIVE_S,
            h11_max_incomplete_event_size=64 << 10,
        )
    )  # fmt: skip


def _collect_seldom() -> None:
    """Lets the collector of cycles look at what is new only when that is much, and never again at code.

    Thousands of connections are a million objects that live long; looking at them took half of the process's time, and
    a tenth of a second each.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 10)


async def serve(settings: Settings) -> None:
    """Runs the cloud until the process is asked to stop; migrates the database first."""
    _collect_seldom()
    listening = _listen(settings)
    async with Database.open(settings.database_url, CONNECTIONS, wait_s=_WAIT_FOR_DATABASE_S) as database:
        cloud = Cloud(database, settings)
        server = http_server(cloud.app, settings)
        async with cloud.running() as own:
            watchdog = asyncio.create_task(keep_watchdog(), name="watchdog")
            serving = asyncio.create_task(server.serve([listening]), name="http")
            stopping = asyncio.create_task(until_stopped(), name="signals")
            log.info("serving", url=settings.public_url, tier=database.tier)
            notify("READY=1")  # the socket listens already: who connects now waits for the loop, no longer
            ended, _ = await asyncio.wait({serving, stopping, *own}, return_when=asyncio.FIRST_COMPLETED)
            notify("STOPPING=1")
            cloud.close_streams()
            server.should_exit = True
            await serving
            await _cancel([stopping, watchdog])
            for task in ended & own:  # a process that no longer hears must not look healthy; systemd starts another
                task.result()
    log.info("stopped")
