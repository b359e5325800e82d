"""One connection: h11's engine fed from and emptied into asyncio's streams."""

import asyncio
import socket
from collections.abc import Mapping
from typing import Final

import h11

from edge.http.tcp import TcpCounts, tcp_counts

MAX_HEAD: Final = 16 << 10
"""Bytes of a request or status line with its headers, on either side."""
READ_BYTES: Final = 64 << 10
AS_ONE_BYTES: Final = 16 << 10

Happening = h11.Request | h11.InformationalResponse | h11.Response | h11.Data | h11.EndOfMessage | h11.ConnectionClosed
"""What the other side can have said."""


class Wire:
    """Events of h11 instead of bytes. `role` is h11.CLIENT or h11.SERVER: ours. `sock` has the kernel's counts."""

    __slots__ = ("engine", "has_heard", "is_listening", "reader", "sock", "writer")

    def __init__(
        self,
        role: type[h11.CLIENT | h11.SERVER],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        sock: socket.socket | None = None,
    ) -> None:
        self.engine = h11.Connection(role, max_incomplete_event_size=MAX_HEAD)
        self.reader, self.writer, self.sock = reader, writer, sock
        self.has_heard = False
        """Whether anything came since `forget`."""
        self.is_listening = False
        """Whether it is the other side's turn, and we wait for it."""

    def send(self, *events: h11.Event) -> None:
        """Hands events to the transport, a large body without copying it.

        What is small goes as one, so that it is one record of TLS and one packet. Raises h11.LocalProtocolError for our
        faults, ConnectionResetError where the connection is gone already.
        """
        parts = [part for event in events for part in self.engine.send_with_data_passthrough(event) or ()]
        try:
            if sum(map(len, parts)) <= AS_ONE_BYTES:
                self.writer.write(b"".join(parts))
            else:
                self.writer.writelines(parts)
        except RuntimeError as e:  # uvloop's word for it
            raise ConnectionResetError("the connection is closed") from e

    async def next(self, silence_s: float | None = None) -> Happening:
        """What the other side says next.

        Raises TimeoutError after `silence_s` without a byte, OSError for a connection that broke, and
        h11.RemoteProtocolError for what is no HTTP, for a head that is too long, and for an end in the middle.
        """
        while (event := self.engine.next_event()) is h11.NEED_DATA:
            self.is_listening = True
            try:
                async with asyncio.timeout(silence_s):
                    data = await self.reader.read(READ_BYTES)
            finally:
                self.is_listening = False
            self.has_heard = self.has_heard or bool(data)
            self.engine.receive_data(data)
        assert isinstance(event, Happening), "nothing is asked for between two messages"
        return event

    def counts(self) -> TcpCounts | None:
        """What the kernel counts of this connection; None where it is gone."""
        return tcp_counts(self.sock) if self.sock is not None else None

    @property
    def remote(self) -> str:
        """The other side's address; empty where the connection is gone already."""
        peer = self.writer.get_extra_info("peername")
        return str(peer[0]) if peer else ""

    def abort(self) -> None:
        """Lets go of the connection at once."""
        self.writer.transport.abort()


def headers_of(event: h11.Request | h11.Response | h11.InformationalResponse) -> Mapping[str, str]:
    """Headers by their names in small letters; several of one name are joined."""
    found: dict[str, str] = {}
    for raw_name, raw_value in event.headers:
        name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
        if name in found:
            value = f"{found[name]}{'; ' if name == 'cookie' else ', '}{value}"
        found[name] = value
    return found
