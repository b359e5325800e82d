"""Connections: TCP to whichever of a host's addresses answers first, a proxy's tunnel, TLS."""

import asyncio
import os
import socket
import ssl
from collections import deque
from contextlib import suppress
from itertools import chain, zip_longest
from typing import Any, Final

import h11

from edge.http.address import Address
from edge.http.proxy import HttpProxy
from edge.http.wire import Wire

STAGGER_S: Final = 0.25
"""The next address is tried beside the last after so long without an answer (RFC 8305, "happy eyeballs").

asyncio's own create_connection offers it, uvloop's does not.
"""
MAX_ADDRESSES: Final = 8
UNHEARD_MS: Final = 30_000
"""What was sent and is not acknowledged for so long ends a connection: a mobile network that gave the box another
address tells nobody, and an alarm must not wait for the whole time that a request may take."""
NO_LOGIN: Final = "it wants a login: name one (cloud.proxy.user and .password in the site file, or in HTTPS_PROXY)"
WRONG_LOGIN: Final = "it does not take its login: mend it (cloud.proxy.user and .password in the site file)"
_Found = tuple[Any, ...]
"""An answer of getaddrinfo: family, type, protocol, canonical name, socket address."""


async def dial(address: Address, proxy: HttpProxy | None, trust: ssl.SSLContext | None) -> Wire:
    """A connection on which requests for an address can be sent. `trust` is for an https address alone.

    Raises ssl.SSLCertVerificationError for a certificate that is not trusted, and OSError with a sentence.
    """
    to = (address.host, address.port) if proxy is None else (proxy.host, proxy.port)
    sock = await _connect(*to)
    try:
        if proxy is None and trust is not None:
            reader, writer = await asyncio.open_connection(sock=sock, ssl=trust, server_hostname=address.host)
            return Wire(h11.CLIENT, reader, writer, sock)
        reader, writer = await asyncio.open_connection(sock=sock)
    except BaseException:
        sock.close()
        raise
    if proxy is not None and trust is not None:
        try:
            await _tunnel(Wire(h11.CLIENT, reader, writer), address, proxy)
            await writer.start_tls(trust, server_hostname=address.host)
        except BaseException:
            writer.transport.abort()
            raise
    return Wire(h11.CLIENT, reader, writer, sock)


async def _tunnel(wire: Wire, address: Address, proxy: HttpProxy) -> None:
    """Asks a proxy to connect us with an address."""
    where = address.with_port.encode("ascii")
    headers = [("Host", address.with_port)]
    if proxy.authorization:
        headers.append(("Proxy-Authorization", proxy.authorization))
    wire.send(h11.Request(method=b"CONNECT", target=where, headers=headers), h11.EndOfMessage())
    try:
        answer = await wire.next()
    except h11.RemoteProtocolError as e:
        raise ConnectionError(f"the proxy {proxy.with_port} does not answer as a proxy does: {e}") from e
    assert isinstance(answer, h11.Response | h11.InformationalResponse)
    if not 200 <= answer.status_code < 300:
        reason = bytes(answer.reason).decode("latin-1")[:100]
        hint = f"; {login_hint(proxy)}" if answer.status_code == 407 else ""
        raise ConnectionError(f"the proxy {proxy.with_port} answered {answer.status_code} {reason}{hint}")
    if wire.engine.trailing_data[0]:
        raise ConnectionError(f"the proxy {proxy.with_port} said more than that it connects us")


def login_hint(proxy: HttpProxy) -> str:
    """What to do about a proxy that answered 407."""
    return WRONG_LOGIN if proxy.authorization else NO_LOGIN


async def _connect(host: str, port: int) -> socket.socket:
    """A connected socket. Raises OSError, in words, for the failure of the address that was tried first."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as e:
        raise OSError(f"the name {host} cannot be looked up: {e.strerror}") from e
    except UnicodeError as e:
        raise OSError(f"{host!r} is no name of a host") from e
    try:
        return await _race(_in_turn(found)[:MAX_ADDRESSES])
    except OSError as e:
        problem = os.strerror(e.errno) if e.errno else str(e)
        raise OSError(f"no connection to {host} port {port}: {problem}") from e


async def _race(found: list[_Found]) -> socket.socket:
    """The first to connect of addresses that start one after the other. Raises what the first failed with."""
    waiting, trying = deque(found), set[asyncio.Task[socket.socket]]()
    failures: list[BaseException] = []
    won: socket.socket | None = None
    try:
        while won is None and (waiting or trying):
            if waiting:
                trying.add(asyncio.create_task(_connect_to(waiting.popleft())))
            done, trying = await asyncio.wait(
                trying, timeout=STAGGER_S if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                if error := task.exception():
                    failures.append(error)
                elif won is None:
                    won = task.result()
                else:
                    task.result().close()
    finally:
        for task in trying:
            task.add_done_callback(_close)
            task.cancel()
    if won is None:
        raise failures[0]
    return won


def _close(late: asyncio.Task[socket.socket]) -> None:
    if not late.cancelled() and late.exception() is None:
        late.result().close()


async def _connect_to(found: _Found) -> socket.socket:
    family, kind, protocol, _, where = found
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        with suppress(OSError, AttributeError):  # not every system has it
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNHEARD_MS)
        await asyncio.get_running_loop().sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock


def _in_turn(found: list[_Found]) -> list[_Found]:
    """Addresses as they were preferred, the families in turn, so that one that leads nowhere delays little."""
    first = [one for one in found if one[0] == found[0][0]]
    others = [one for one in found if one[0] != found[0][0]]
    return [one for one in chain.from_iterable(zip_longest(first, others)) if one is not None]
