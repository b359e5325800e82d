"""One connection to a broker: the only file that knows aiomqtt and, beneath it, paho.

Three things are done here that aiomqtt leaves open. paho gathers a packet of any announced length (256 MB), so the
length is looked at first. A connection that is not answered leaves its socket with the event loop, so it is closed. And
that the broker is lost wakes who waits for messages.
"""

import asyncio
import logging
import math
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, cast

from contract.errors import AnjuError, Retryable
from contract.site import MqttBus
from edge.drivers.mqtt.decode import MAX_PAYLOAD
from edge.drivers.mqtt.inbox import Inbox
from edge.drivers.mqtt.library import PacketTypes, Properties, ReasonCode, aiomqtt
from edge.secrets import read_secret

MAX_PACKET: Final = 2 * MAX_PAYLOAD
"""Bytes of a packet: a payload, its topic and its properties. A longer one ends the connection, unheard."""
AT_ONCE: Final = 50
"""Filters in one subscription."""
MAX_OUTGOING: Final = 64
"""Messages of ours that may wait for the broker."""
GOODBYE_S: Final = 2.0
"""So long a broker that is left may take over it."""
_REFUSED = 128
_UNSPECIFIED, _TAKEN_OVER = 128, 142

_log = logging.getLogger("anju.mqtt")
_log.setLevel(logging.CRITICAL)  # what it says is in the errors it raises, and the driver says that once


class Lost(Retryable):
    """There is no connection to the broker. `sent` tells whether a message may have reached it."""

    def __init__(self, problem: str, *, sent: bool = False) -> None:
        super().__init__(problem)
        self.sent = sent


class _Client(aiomqtt.Client):
    """`is_flooded` tells that a message was larger than we take."""

    is_flooded = False


class Session:
    """A connection that stands, until it does not: `lost` then says why."""

    def __init__(self, client: _Client, bus: MqttBus, timeout_s: float) -> None:
        self._client, self._bus, self._timeout_s = client, bus, timeout_s
        self._is_5 = bus.version == "5"
        self._gone: asyncio.Future[None] = client._disconnected  # noqa: SLF001

    @property
    def lost(self) -> str:
        """Why the connection is gone; empty while it stands."""
        if not self._gone.done():
            return ""
        return _why(self._gone.exception() or ConnectionError("the broker closed the connection"), self._client)

    async def subscribe(self, filters: Sequence[str]) -> dict[str, str]:
        """Subscribes with QoS 1; gives the filters that the broker refuses, and its words. Raises Lost."""
        refused: dict[str, str] = {}
        for some in _parts(filters, AT_ONCE):
            try:
                codes = await self._client.subscribe([(topic, 1) for topic in some], timeout=self._timeout_s)
            except aiomqtt.MqttError as e:
                raise Lost(self.lost or f"it did not answer a subscription: {e}") from e
            for topic, code in zip(some, codes, strict=False):
                number = code if isinstance(code, int) else cast("ReasonCode", code).value
                if number >= _REFUSED:
                    refused[topic] = str(code)
        return refused

    async def publish(
        self, topic: str, payload: bytes, *, expires_s: float | None = None, retain: bool = False
    ) -> None:
        """Publishes with QoS 1 and returns when the broker has it.

        With version 5 nobody is given it later than `expires_s` from now. Raises Lost.
        """
        properties = None
        if self._is_5 and expires_s is not None:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.MessageExpiryInterval = max(1, math.ceil(expires_s))
        if self._gone.done():
            raise Lost(self.lost)
        try:
            await self._client.publish(topic, payload, 1, retain, properties, timeout=self._timeout_s)
        except aiomqtt.MqttCodeError as e:
            raise Lost(self.lost or f"it could not be published: {e}") from e
        except aiomqtt.MqttError as e:
            raise Lost(self.lost or "the broker did not acknowledge it", sent=True) from e


@asynccontextmanager
async def connect(
    bus: MqttBus, client_id: str, will: tuple[str, bytes] | None, inbox: Inbox, timeout_s: float
) -> AsyncIterator[Session]:
    """A connection to the bus's broker, whose messages go into the inbox. Raises Lost where there is none.

    `will` is the topic and payload that the broker publishes, to be kept, when the box is gone. Without one nothing is
    left at the broker: no session either.
    """
    client = _client(bus, client_id, will, inbox, timeout_s)
    _guard(client)
    opening = asyncio.create_task(client.__aenter__(), name=f"connect {bus.id}")
    try:
        await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(lambda task: _abandon_late(task, client))
        raise
    except aiomqtt.MqttError as e:
        _abandon(client)
        why = _why(e, client)
        if why == str(e):  # the system's words, which name nobody
            why = f"no connection to the broker {bus.endpoint}: {why}"
        raise Lost(why) from e
    try:
        session = Session(client, bus, timeout_s)
        session._gone.add_done_callback(lambda _: inbox.wake.set())  # noqa: SLF001
        yield session
    finally:
        with suppress(Lost, aiomqtt.MqttError, TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                if will is not None and not session.lost:  # a broker forgets the will of who leaves properly
                    await session.publish(*will, retain=True)
                await client.__aexit__(None, None, None)
        _abandon(client)


def _client(bus: MqttBus, client_id: str, will: tuple[str, bytes] | None, inbox: Inbox, timeout_s: float) -> _Client:
    is_5 = bus.version == "5"
    properties = None
    if is_5:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = MAX_PACKET
        properties.SessionExpiryInterval = bus.session_s if will else 0
    try:
        password = read_secret(bus.password) if bus.password else None
        tls = _tls(bus.ca) if bus.tls else None
    except AnjuError as e:
        raise Lost(str(e)) from e
    except OSError as e:  # ssl's errors are OSErrors
        raise Lost(f"the certificate authority {bus.ca} cannot be used: {e.strerror or e}") from e
    more: dict[str, Any] = {"clean_start": not will or bus.session_s == 0} if is_5 else {"clean_session": True}
    return _Client(
        bus.host, bus.port, username=bus.user or None, password=password, identifier=client_id, logger=_log,
        queue_type=cast("type[asyncio.Queue[aiomqtt.Message]]", lambda maxsize: inbox),  # noqa: ARG005
        protocol=aiomqtt.ProtocolVersion.V5 if is_5 else aiomqtt.ProtocolVersion.V311,
        will=aiomqtt.Will(will[0], will[1], qos=1, retain=True) if will else None,
        timeout=timeout_s, keepalive=bus.keepalive_s, max_queued_outgoing_messages=MAX_OUTGOING,
        properties=properties, tls_context=tls, **more,
    )  # fmt: skip


class _SslSocket(ssl.SSLSocket):
    """Closes itself where the other side cannot be trusted; paho would leave that to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:  # ssl's own signature
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def _tls(ca: str | None) -> ssl.SSLContext:
    """Checks the broker's certificate and name against an own authority, or those of the system."""
    context = ssl.create_default_context(cafile=ca)
    context.sslsocket_class = _SslSocket
    return context


def _guard(client: _Client) -> None:
    """Ends the connection at a packet that announces more than we take, before any of it is gathered."""
    paho: Any = client._client  # noqa: SLF001
    receive: Callable[[int], bytes] = paho._sock_recv  # noqa: SLF001

    def receive_within_limit(size: int) -> bytes:
        if size > MAX_PACKET:  # paho asks for all that was announced at once
            client.is_flooded = True
            raise ConnectionAbortedError("too large")
        return receive(size)

    paho._sock_recv = receive_within_limit  # noqa: SLF001
    paho.suppress_exceptions = True  # a topic that aiomqtt cannot take must cost that message only


def _abandon(client: aiomqtt.Client) -> None:
    """Leaves nothing of a client with the event loop, whatever state it is in."""
    paho: Any = client._client  # noqa: SLF001
    # Not before what paho has already asked the loop to do with the socket's number, which may be another's then.
    asyncio.get_running_loop().call_soon(paho._sock_close)  # noqa: SLF001
    if client._misc_task is not None:  # noqa: SLF001
        client._misc_task.cancel()  # noqa: SLF001
    client._disconnected.add_done_callback(_asked_for)  # noqa: SLF001


def _asked_for(future: asyncio.Future[None]) -> None:
    """Takes note of how a future ended, so that asyncio does not complain that nobody did."""
    if not future.cancelled():
        future.exception()


def _abandon_late(opening: asyncio.Task[Any], client: aiomqtt.Client) -> None:
    """As `_abandon`, for a connection nobody waits for any more, once it stands or does not."""
    if not opening.cancelled():
        opening.exception()
    _abandon(client)


def _why(error: BaseException, client: _Client) -> str:
    """What is in the way, in words that say what to do where we know."""
    code = error.rc if isinstance(error, aiomqtt.MqttCodeError) else None
    number = getattr(code, "value", code)
    name = f"the name {client.identifier!r}; give one of the two another name (client_id: in the site file)"
    if number == _TAKEN_OVER:
        return f"another client at the broker took {name}"
    if client.is_flooded:
        return f"the broker sent a message of more than {MAX_PACKET // 1024} KB"
    if number in {4, 5, 134, 135}:
        return f"the broker refuses the login ({error}); check user and password in the site file"
    if number == _UNSPECIFIED:  # a closed connection, as paho says it; old brokers say no more at a takeover
        return f"the broker closed the connection, which it also does when another client has {name}"
    return str(error) or type(error).__name__


def _parts(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (items[at : at + size] for at in range(0, len(items), size))
