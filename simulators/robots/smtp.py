"""A mail server that takes mail for anybody and delivers none: EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA (RFC 5321)."""

import asyncio
import base64
import email
import email.policy
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from simulators.robots.desk import Delivery, Desk, Trouble

SERVICE: Final = "email"
USERNAME: Final = "anju"
PASSWORD: Final = "smtp-password-of-the-stand-in"  # noqa: S105  # a stand-in's
_MOST_BYTES: Final = 4 << 20


class MailServer:
    """Where it is."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port


@asynccontextmanager
async def serve_smtp(
    desk: Desk,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
    is_implicit: bool = False,
    wants_login: bool = False,
) -> AsyncIterator[MailServer]:
    """Serves until the context ends; with `tls` it offers STARTTLS, or speaks it from the start. Raises OSError."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):  # who hangs up
                await _Session(desk, reader, writer, None if is_implicit else tls, wants_login=wants_login).run()
        finally:
            writer.transport.abort()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        desk.connections += 1
        task = asyncio.create_task(serve(reader, writer), name="mail")
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, host, port, ssl=tls if is_implicit else None)
    try:
        yield MailServer(host, server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


class _Session:
    """One connection."""

    def __init__(
        self,
        desk: Desk,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        tls: ssl.SSLContext | None,
        *,
        wants_login: bool,
    ) -> None:
        self._desk, self._reader, self._writer, self._tls = desk, reader, writer, tls
        self._wants_login, self._is_in = wants_login, False
        self._to: list[str] = []

    async def run(self) -> None:
        trouble = self._desk.trouble(SERVICE)
        if trouble is not None and trouble.kind == "garbage":
            return await self._say("SSH-2.0-OpenSSH_9.6")
        if trouble is not None and trouble.kind in {"huge", "drip"}:
            return await self._flood()
        await self._say("220 stand-in ESMTP")
        while line := (await self._reader.readuntil(b"\n")).decode("ascii", "replace").strip():
            verb, _, rest = line.partition(" ")
            match verb.upper():
                case "EHLO":
                    more = ["250-STARTTLS"] if self._tls is not None else []
                    more += ["250-AUTH PLAIN"] if self._wants_login else []
                    await self._say("\r\n".join(["250-stand-in", *more, "250 8BITMIME"]))
                case "STARTTLS" if self._tls is not None:
                    await self._say("220 go ahead")
                    tls, self._tls = self._tls, None
                    await self._writer.start_tls(tls)
                case "AUTH":
                    await self._login(rest)
                case "MAIL":
                    is_allowed = self._is_in or not self._wants_login
                    await self._say("250 ok" if is_allowed else "530 5.7.0 authentication required")
                case "RCPT":
                    await self._name(rest, trouble)
                case "DATA":
                    await self._take(trouble)
                case "QUIT":
                    return await self._say("221 bye")
                case _:
                    await self._say("250 ok" if verb.upper() in {"NOOP", "RSET"} else "502 not known here")
        return None

    async def _login(self, rest: str) -> None:
        said = rest.partition(" ")[2]
        right = base64.b64encode(f"\0{USERNAME}\0{PASSWORD}".encode()).decode()
        self._is_in = rest.upper().startswith("PLAIN") and said == right
        if not self._is_in:
            self._desk.refuse(SERVICE, "535")
        await self._say("235 ok" if self._is_in else f"535 5.7.8 not accepted: {said}")

    async def _name(self, rest: str, trouble: Trouble | None) -> None:
        address = rest[rest.find("<") + 1 : rest.rfind(">")]
        if (trouble is not None and trouble.kind == "code") or address.startswith("nobody@"):
            code = trouble.code if trouble is not None and trouble.kind == "code" else 550
            self._desk.refuse(SERVICE, str(code))
            return await self._say(f"{code} 5.1.1 {address} is not known here")
        self._to.append(address)
        return await self._say("250 ok")

    async def _take(self, trouble: Trouble | None) -> None:
        if not self._to:
            return await self._say("503 nobody is named")
        await self._say("354 end with a full stop")
        data = bytearray()
        while (line := await self._reader.readuntil(b"\n")) != b".\r\n":
            data += line[1:] if line.startswith(b".") else line
            if len(data) > _MOST_BYTES:
                return await self._say("552 too long")
        if trouble is not None and trouble.kind in {"status", "echo", "cut"}:
            self._desk.refuse(SERVICE, f"{trouble.kind} {trouble.code}")
            if trouble.kind != "cut":
                await self._say(f"{trouble.code or 554} no: {PASSWORD if trouble.kind == 'echo' else 'as ordered'}")
            return self._writer.close()
        if trouble is not None and trouble.kind == "slow":
            await asyncio.sleep(trouble.delay_s)
        self._desk.accept(_delivery(self._desk.clock(), bytes(data), tuple(self._to)))
        self._to = []
        return await self._say("250 taken")

    async def _flood(self) -> None:
        while True:
            await self._say("220-" + "x" * 1000)
            await asyncio.sleep(0.001)

    async def _say(self, line: str) -> None:
        self._writer.write(line.encode() + b"\r\n")
        await self._writer.drain()


def _delivery(at: float, data: bytes, to: tuple[str, ...]) -> Delivery:
    mail = email.message_from_bytes(data, policy=email.policy.default)
    plain = mail.get_body(("plain",))
    page = mail.get_body(("html",))
    assert plain is not None
    said = {"headers": [[name, str(value)] for name, value in mail.items()], "html": page.get_content() if page else ""}
    text = f"{mail['Subject']}\n{plain.get_content()}"
    return Delivery(at=at, service=SERVICE, text=text, mentioned=to, key=str(mail["Message-ID"]), said=said)
