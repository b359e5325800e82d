"""One HTTP client for all channels: it connects first, and sends only within the gate that it is given.

On h11, as the box's client is: a general client sends as soon as it is connected, and what "as soon" means is its own
affair. Here it is one line. Each request has a connection of its own, for at some messages a minute a kept one is
mostly found dead. No redirects, no cookies, no proxies of the environment, certificates always verified.
"""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import unquote, urlsplit

import h11
import msgspec

from cloud.notify.channel import Start
from cloud.notify.reach import ANYWHERE, NotReachableError, Reach, connect, look
from contract.version import VERSION

MOST_BYTES: Final = 64 << 10
"""So much of an answer is read."""
CONNECT_S: Final = 10.0
"""To resolve, connect and shake hands."""
ANSWER_S: Final = 10.0
"""From the request until the whole answer."""
_MOST_INTERIM: Final = 10


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A POST. Its address is taken for a secret as a whole."""

    url: str
    body: bytes
    headers: Mapping[str, str]
    secrets: tuple[str, ...] = ()
    """What must be in no text about it."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back; `whole` is false where it was longer than MOST_BYTES or broke off."""

    status: int
    headers: Mapping[str, str]
    """By names in small letters."""
    body: bytes
    whole: bool


class NoAnswerError(Exception):
    """There is no answer: a sentence without secrets, a code for machines, and whether the request had begun."""

    def __init__(self, problem: str, code: str, *, begun: bool) -> None:
        super().__init__(problem)
        self.code = code
        self.begun = begun


class Proxy(msgspec.Struct, frozen=True):
    """An HTTP proxy that connects on to others (CONNECT)."""

    host: str
    port: int
    authorization: str = ""


def parse_proxy(url: str) -> Proxy:
    """The proxy of `http://user:password@host:port`. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname or parts.path not in {"", "/"}:
        raise ValueError("is not http://host:port")
    login = ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        login = "Basic " + base64.b64encode(pair.encode()).decode()
    return Proxy(parts.hostname, parts.port or 3128, login)


class Http:
    """Posts requests to where `reach` allows; through a proxy, that has to say what it reaches."""

    def __init__(
        self,
        reach: Reach,
        *,
        trust: ssl.SSLContext | None = None,
        proxy: Proxy | None = None,
        connect_s: float = CONNECT_S,
        answer_s: float = ANSWER_S,
    ) -> None:
        self.reach = reach
        self.trust = trust or ssl.create_default_context()
        self.connect_s = connect_s
        self.answer_s = answer_s
        self._proxy = proxy

    async def post(self, request: Request, start: Start) -> Answer:
        """Connects, enters `start`, hands the request to the kernel, leaves, and waits for the answer.

        Raises NoAnswerError for whatever the network does, and what `start` raises.
        """
        host, port, is_tls = address_of(request.url)
        if not is_tls and not self.reach.allows_plain(host):
            problem = f"{host} is to be spoken to in clear: use https, or have the host named in ANJU_NOTIFY_PLAIN"
            raise NoAnswerError(problem, "address", begun=False)
        engine = h11.Connection(h11.CLIENT)
        data = _written(engine, request)
        async with self._connection(host, port, is_tls=is_tls) as (reader, writer):
            async with start():
                writer.write(data)
            return await self._answer(engine, reader, host)

    @asynccontextmanager
    async def _connection(
        self, host: str, port: int, *, is_tls: bool
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection that is ready for a request. Raises NoAnswerError."""
        writer: asyncio.StreamWriter | None = None
        try:
            try:
                async with asyncio.timeout(self.connect_s):
                    if self._proxy is None:
                        sock = await connect(self.reach, host, port)
                        reader, writer = await asyncio.open_connection(
                            sock=sock, ssl=self.trust if is_tls else None, server_hostname=host if is_tls else None
                        )
                    else:
                        await look(self.reach, host, port)
                        sock = await connect(ANYWHERE, self._proxy.host, self._proxy.port)
                        reader, writer = await asyncio.open_connection(sock=sock)
                        await _through(self._proxy, reader, writer, f"{host}:{port}")
                        if is_tls:
                            await writer.start_tls(self.trust, server_hostname=host)
            except TimeoutError as e:
                problem = f"no connection to {host}, port {port}, within {self.connect_s:g} s"
                raise NoAnswerError(problem, "time-out", begun=False) from e
            except NotReachableError as e:
                raise NoAnswerError(str(e), e.code, begun=False) from e
            except ssl.SSLError as e:
                raise NoAnswerError(tls_problem(host, e), "tls", begun=False) from e
            except OSError as e:
                problem = f"the connection to {host} was closed before it was ready: {e.strerror or type(e).__name__}"
                raise NoAnswerError(problem, "connect", begun=False) from e
            yield reader, writer
        finally:
            if writer is not None:
                writer.transport.abort()

    async def _answer(self, engine: h11.Connection, reader: asyncio.StreamReader, host: str) -> Answer:
        try:
            async with asyncio.timeout(self.answer_s):
                head = await _head(engine, reader)
                body, whole = await _body(engine, reader)
        except TimeoutError as e:
            problem = f"{host} did not answer within {self.answer_s:g} s: the message may have arrived"
            raise NoAnswerError(problem, "time-out", begun=True) from e
        except h11.RemoteProtocolError as e:
            problem = f"what {host} answered is not HTTP, or broke off: the message may have arrived"
            raise NoAnswerError(problem, "garbage", begun=True) from e
        except OSError as e:
            problem = f"{host} closed the connection without an answer: the message may have arrived"
            raise NoAnswerError(problem, "closed", begun=True) from e
        names = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in head.headers}
        return Answer(status=head.status_code, headers=names, body=body, whole=whole)


def address_of(url: str) -> tuple[str, int, bool]:
    """Host, port, and whether it is by TLS. Raises NoAnswerError."""
    try:
        parts = urlsplit(url)
        host, port, is_tls = parts.hostname, parts.port, parts.scheme == "https"
    except ValueError:
        host = None
    if not host or parts.scheme not in {"http", "https"} or parts.username is not None or port == 0:
        raise NoAnswerError("the address is not https://host/path", "address", begun=False)
    return host, port or (443 if is_tls else 80), is_tls


def tls_problem(host: str, error: ssl.SSLError) -> str:
    """What is wrong with a server's TLS, in words that say what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message.rstrip(".")
        return f"the certificate of {host} is not good ({why}): mend it, or name its authority in ANJU_NOTIFY_CA"
    return f"{host} does not speak TLS as it should ({error.reason or 'it closed'}): check the port"


def _written(engine: h11.Connection, request: Request) -> bytes:
    """The bytes of a request. Raises NoAnswerError."""
    parts = urlsplit(request.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {
        "Host": parts.netloc,
        "User-Agent": f"anju-cloud/{VERSION}",
        "Accept": "*/*",
        "Connection": "close",
        "Content-Length": str(len(request.body)),
        **request.headers,
    }
    try:
        head = h11.Request(method="POST", target=target, headers=list(headers.items()))
        written = (engine.send(event) for event in (head, h11.Data(request.body), h11.EndOfMessage()))
        return b"".join(part for part in written if part)
    except (h11.LocalProtocolError, UnicodeError) as e:
        problem = "the address or a header has a character that it may not have: check the configuration"
        raise NoAnswerError(problem, "address", begun=False) from e


async def _through(proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to: str) -> None:
    """Has a proxy connect on. Raises OSError, NoAnswerError."""
    engine = h11.Connection(h11.CLIENT)
    headers = [("Host", to), *([("Proxy-Authorization", proxy.authorization)] if proxy.authorization else [])]
    head = engine.send(h11.Request(method="CONNECT", target=to, headers=headers)) or b""
    writer.write(head + (engine.send(h11.EndOfMessage()) or b""))
    try:
        answer = await _head(engine, reader)
    except h11.RemoteProtocolError as e:
        raise NoAnswerError(f"the proxy {proxy.host} does not speak HTTP", "proxy", begun=False) from e
    if not 200 <= answer.status_code < 300:
        problem = f"the proxy {proxy.host} does not connect to {to}: it answered {answer.status_code}"
        raise NoAnswerError(problem, "proxy", begun=False)


async def _head(engine: h11.Connection, reader: asyncio.StreamReader) -> h11.Response:
    for _ in range(_MOST_INTERIM):
        event = await _next(engine, reader)
        if isinstance(event, h11.Response):
            return event
    raise h11.RemoteProtocolError("it never comes to its answer")


async def _body(engine: h11.Connection, reader: asyncio.StreamReader) -> tuple[bytes, bool]:
    """The body as far as it is read, and whether that is all of it; a body that breaks off is no error here."""
    body = bytearray()
    try:
        while isinstance(event := await _next(engine, reader), h11.Data):
            body += event.data
            if len(body) > MOST_BYTES:
                return bytes(body[:MOST_BYTES]), False
    except (h11.RemoteProtocolError, OSError):
        return bytes(body), False
    return bytes(body), True


async def _next(engine: h11.Connection, reader: asyncio.StreamReader) -> object:
    while (event := engine.next_event()) is h11.NEED_DATA:
        engine.receive_data(await reader.read(16 << 10))
    return event
