"""HTTP/1.1 as a simulated box speaks it: one connection, one request at a time, nothing that costs memory.

It reads what our cloud and the proxies before it send: a length or chunks. Anything else ends the connection.
"""

import asyncio
import ssl
from typing import Final, cast

from contract.errors import Retryable

MAX_HEAD: Final = 16 << 10
MAX_BODY: Final = 1 << 20
CONNECT_S: Final = 30.0
ANSWER_S: Final = 60.0


class Server:
    """Where the cloud is: host and port, whom it trusts (None: no TLS), and the name in requests."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, url: str) -> None:
        self.host, self.port, self.tls, self.url = host, port, tls, url.rstrip("/")
        self.name = f"{host}:{port}"

    def head(self, method: str, path: str, token: str = "", body_bytes: int = 0) -> bytes:
        """A request's head."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.name}"]
        if token:
            lines.append(f"Authorization: Bearer {token}")
        if method == "POST":
            lines.append(f"Content-Length: {body_bytes}")
        return "\r\n".join([*lines, "", ""]).encode()


class Answer:
    """Status, seconds of Retry-After (0: none), and body."""

    __slots__ = ("after_s", "body", "status")

    def __init__(self, status: int, after_s: float, body: bytes) -> None:
        self.status, self.after_s, self.body = status, after_s, body


class Wire(asyncio.Protocol):
    """One connection, for one request after the other."""

    __slots__ = ("_answer", "_buffer", "_transport")

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._answer: asyncio.Future[Answer] | None = None

    @classmethod
    async def dial(cls, server: Server) -> "Wire":
        """Connects. Raises Retryable."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_S):
                _, wire = await loop.create_connection(cls, server.host, server.port, ssl=server.tls)
        except (OSError, TimeoutError) as e:
            raise Retryable(f"cannot connect: {e!r}") from e
        return wire

    @property
    def is_open(self) -> bool:
        """Whether it can still be used."""
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Is connected."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by class

    def connection_lost(self, exc: Exception | None) -> None:
        """Is lost."""
        self._transport = None
        self._fail(f"the connection was lost: {exc or 'closed'}")

    def _fail(self, why: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Retryable(why))

    def close(self) -> None:
        """Lets go of the connection."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    async def ask(self, head: bytes, body: bytes = b"") -> Answer:
        """Sends a request; its answer, whole. Raises Retryable where none comes."""
        if self._transport is None:
            raise Retryable("the connection was lost")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(head + body)
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._answer
        except TimeoutError as e:
            self.close()
            raise Retryable(f"no answer within {ANSWER_S:g} s") from e
        finally:
            self._answer = None

    def data_received(self, data: bytes) -> None:
        """More of an answer."""
        self._buffer += data
        if self._answer is None or self._answer.done():
            if self._transport is not None:
                self._transport.abort()  # nobody asked
            return
        try:
            answer = self._parsed()
        except ValueError as e:
            self._fail(f"what came is no answer: {e}")
            self.close()
            return
        if answer is not None:
            self._answer.set_result(answer)

    def _parsed(self) -> Answer | None:
        """The answer, once it is there whole. Raises ValueError."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise ValueError("its head does not end")
            return None
        status, headers = parse_head(self._buffer[:end])
        rest = self._buffer[end + 4 :]
        if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
            chunks = join_chunks(rest)
            if chunks is None:
                return None
            body = chunks
        else:
            length = int(headers.get(b"content-length", b"0"))
            if length > MAX_BODY:
                raise ValueError(f"{length} bytes are too many")
            if len(rest) < length:
                return None
            body = rest[:length]
        self._buffer = b""
        return Answer(status, float(headers.get(b"retry-after", b"0")), body)


def parse_head(head: bytes) -> tuple[int, dict[bytes, bytes]]:
    """Status and headers (names in lower case) of an answer. Raises ValueError."""
    first, *lines = head.split(b"\r\n")
    version, status, *_ = first.split(b" ", 2)
    if version != b"HTTP/1.1":
        raise ValueError(f"{first[:40]!r}")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon:
            raise ValueError(f"{line[:40]!r}")
        headers[name.strip().lower()] = value.strip()
    return int(status), headers


def join_chunks(data: bytes) -> bytes | None:
    """The body of chunks that end; None while they do not. Raises ValueError."""
    parts: list[bytes] = []
    at = 0
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            return None
        size = int(data[at:end], 16)
        if not 0 <= size <= MAX_BODY:
            raise ValueError(f"a chunk of {size} bytes")
        if len(data) < end + 4 + size:
            return None
        if size == 0:
            return b"".join(parts)
        parts.append(data[end + 2 : end + 2 + size])
        at = end + 4 + size


class Down(asyncio.Protocol):
    """A down stream. `opened` gives its status, 0 where it was lost before; `ended` is true once it is over."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._transport: asyncio.Transport | None = None
        self._head = b""
        self.status = 0
        self.opened: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.ended = False
        self.bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asks for the stream."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by class
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """The head, then heartbeats and orders, then perhaps the last chunk."""
        if not self.status:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            try:
                self.status, _ = parse_head(self._head[:end])
            except ValueError:
                self.status = 502
            data, self._head = self._head[end + 4 :], b""
            if not self.opened.done():
                self.opened.set_result(self.status)
        self.bytes += len(data)
        if data.endswith(b"0\r\n\r\n"):
            self.close()

    def connection_lost(self, _: Exception | None) -> None:
        """It is over."""
        self.ended, self._transport = True, None
        if not self.opened.done():
            self.opened.set_result(0)

    def close(self) -> None:
        """Lets go of the connection."""
        self.ended = True
        if self._transport is not None:
            self._transport.abort()
