"""The channel: configuration and sending.

Before the gate stand connecting, TLS, the log-in, sender, recipients and DATA; within it the mail is written; what
comes after is the server's answer to its end. A server that was never given the end of a mail forgets it (RFC 5321,
4.1.1.4).
"""

import asyncio
import base64
import re
import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Literal

import aiosmtplib
import aiosmtplib.protocol
import msgspec

from cloud.notify.channel import Limits, Message, Result, Start
from cloud.notify.channels.config import Common, Problem, reference_problems
from cloud.notify.channels.email import wire
from cloud.notify.http import tls_problem
from cloud.notify.posted import quoted
from cloud.notify.reach import NotReachableError, connect
from cloud.notify.secrets import SecretError, hide
from cloud.notify.text import fitted, plain, room
from cloud.notify.tools import Tools

MOST_PER_MIN: Final = 60
MOST_TO: Final = 50
_PORTS: Final = {"starttls": 587, "implicit": 465, "none": 25}
_GO_ON: Final = 354
_TAKEN: Final = 250
_TROUBLES: Final = (aiosmtplib.SMTPException, NotReachableError, OSError)
"""What servers and networks do; an OSError is also a TimeoutError, or TLS that fails."""


class EmailConfig(Common, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A server that takes mail, and for whom."""

    host: str
    sender: str
    """The address that mails come from."""
    port: int = 0
    """0: as `tls` has it, 587, 465 or 25."""
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    """`none` only where whoever runs the cloud has named the host in ANJU_NOTIFY_PLAIN."""
    username: str = ""
    password: str = ""
    """Names the secret; empty: nobody logs in."""
    sender_name: str = "Anju 安居"
    to: tuple[str, ...] = ()
    """Who gets what is meant for nobody in particular."""

    def problems(self) -> list[Problem]:
        """What is wrong with it beyond its types."""
        problems = super().problems()
        if not re.fullmatch(r"[A-Za-z0-9.:-]{1,253}", self.host):
            problems.append(("host is not the name of a server", "for example smtp.example.org"))
        if not 0 <= self.port < 1 << 16:
            problems.append(("port is not from 1 to 65535", "leave it out for the usual one"))
        for address in (self.sender, *self.to):
            if not wire.is_mail_address(address):
                problems.append((f"{address!r} is not a mail address", "for example guard@example.org"))
        if len(self.to) > MOST_TO:
            problems.append((f"to has more than {MOST_TO} addresses", "use a list of the mail server's"))
        if not self.sender_name.isprintable() or len(self.sender_name) > 100:
            problems.append(("sender_name is not a short line", ""))
        if bool(self.username) != bool(self.password):
            problems.append(("username and password need each other", "give both, or none"))
        if not (self.username.isprintable() and len(self.username) <= 200):
            problems.append(("username is not a short line", ""))
        return problems + (reference_problems(password=self.password) if self.password else [])

    @property
    def references(self) -> tuple[str, ...]:
        """The secrets that it names."""
        return (self.password,) if self.password else ()


class Email:
    """A channel, see cloud/notify/channel.py."""

    kind = "email"

    def __init__(self, config: EmailConfig, tools: Tools) -> None:
        self.limits = Limits(rate_per_min=config.rate(MOST_PER_MIN), limit_bytes=wire.MOST_BYTES)
        self._config = config
        self._tools = tools

    def room(self, message: Message) -> int:
        """See Channel."""
        return room(message, _fits)

    async def send(self, message: Message, start: Start) -> Result:
        """See Channel."""
        config, http = self._config, self._tools.http
        to = tuple(dict.fromkeys(who.email for who in message.to if who.email))[:MOST_TO] or config.to
        if wrong := [address for address in to if not wire.is_mail_address(address)]:
            return Result(accepted=False, reason=f"{wrong[0]!r} is not a mail address: correct it", code="address")
        if not to:
            reason = "nobody has a mail address: give the people one, or the channel"
            return Result(accepted=False, reason=reason, code="address")
        if config.tls == "none" and not http.reach.allows_plain(config.host):
            reason = f"{config.host} is to be spoken to in clear: use TLS, or have it named in ANJU_NOTIFY_PLAIN"
            return Result(accepted=False, reason=reason, code="address")
        try:
            password = self._tools.secrets.read(config.password) if config.password else ""
        except SecretError as e:
            return Result(accepted=False, reason=str(e), code="secret")
        mail = wire.mail(*fitted(message, _fits), config.sender, config.sender_name, to, self._tools.clock())
        exchange = _Exchange(config, self._tools, password)
        result = await exchange.send(mail, to, start)
        return msgspec.structs.replace(result, reason=hide(result.reason, _forms(config.username, password)))


class _Exchange:
    """One mail to one server."""

    def __init__(self, config: EmailConfig, tools: Tools, password: str) -> None:
        self._config = config
        self._http = tools.http
        self._begun = False
        self._client = aiosmtplib.SMTP(
            hostname=config.host,
            use_tls=config.tls == "implicit",
            start_tls=config.tls == "starttls",
            tls_context=self._http.trust,
            username=config.username or None,
            password=password or None,
            local_hostname=config.sender.rpartition("@")[2],
            timeout=None,
        )

    async def send(self, mail: bytes, to: Sequence[str], start: Start) -> Result:
        try:
            try:
                async with asyncio.timeout(self._http.connect_s):
                    protocol, unknown = await self._prepare(to)
            except _TROUBLES as e:
                return self._outcome(e)
            reading = asyncio.create_task(protocol.read_response(), name="answer to a mail")
            try:
                await asyncio.sleep(0)  # it listens from here on
                async with start():
                    with suppress(aiosmtplib.SMTPServerDisconnected):  # the answer says so, too
                        protocol.write(_stuffed(mail))
                        self._begun = True
                return await self._answer(reading, unknown)
            finally:
                reading.cancel()
                await asyncio.wait([reading])
        finally:
            self._client.close()

    async def _prepare(self, to: Sequence[str]) -> tuple[aiosmtplib.protocol.SMTPProtocol, str]:
        """All up to the mail itself; with who was refused, in words. Raises one of _TROUBLES."""
        config = self._config
        sock = await connect(self._http.reach, config.host, config.port or _PORTS[config.tls])
        await self._client.connect(sock=sock)
        await self._client.mail(config.sender)
        unknown = await _name(self._client, to)
        answer = await self._client.execute_command(b"DATA")
        if answer.code != _GO_ON:
            raise aiosmtplib.SMTPDataError(answer.code, answer.message)
        if self._client.protocol is None:
            raise aiosmtplib.SMTPServerDisconnected("it closed after DATA")
        return self._client.protocol, unknown

    async def _answer(self, reading: asyncio.Task[aiosmtplib.SMTPResponse], unknown: str) -> Result:
        try:
            async with asyncio.timeout(self._http.answer_s):
                answer = await reading
        except _TROUBLES as e:
            return self._outcome(e)
        return Result(accepted=True, reason=unknown) if answer.code == _TAKEN else self._refused(answer)

    def _outcome(self, trouble: Exception) -> Result:
        host = self._config.host
        tls = next((e for e in (trouble, trouble.__cause__) if isinstance(e, ssl.SSLError)), None)
        if tls is not None:
            return self._failed(tls_problem(host, tls), "tls", again=False)
        match trouble:
            case NotReachableError():
                return self._failed(str(trouble), trouble.code, again=trouble.code in {"dns", "connect"})
            case aiosmtplib.SMTPResponseException():
                return self._refused(aiosmtplib.SMTPResponse(trouble.code, trouble.message))
            case TimeoutError():
                limit_s = self._http.answer_s if self._begun else self._http.connect_s
                return self._failed(f"{host} did not answer within {limit_s:g} s", "time-out", again=True)
            case OSError():  # aiosmtplib's disconnections are ones
                return self._failed(f"{host} closed the connection", "closed", again=True)
        return self._failed(f"{host}: {quoted(str(trouble))}", "smtp", again=False)  # it has no AUTH, no STARTTLS

    def _refused(self, answer: aiosmtplib.SMTPResponse) -> Result:
        """4xx: later it may do; 5xx: it will not (RFC 5321, 4.2.1)."""
        if not 200 <= answer.code < 600:
            return self._failed(f"{self._config.host} does not speak SMTP as it should", "garbage", again=True)
        return Result(
            accepted=False,
            reason=f"the mail server refuses: {answer.code} {quoted(answer.message)}",
            code=f"SMTP {answer.code}",
            again=400 <= answer.code < 500,
        )

    def _failed(self, problem: str, code: str, *, again: bool) -> Result:
        doubt = ": the mail may have been taken" if self._begun else ""
        return Result(accepted=False, reason=problem + doubt, code=code, again=again, uncertain=self._begun)


async def _name(client: aiosmtplib.SMTP, to: Sequence[str]) -> str:
    """Names the recipients; returns who was refused, in words. Raises SMTPRecipientRefused where all were."""
    refused = []
    for address in to:
        try:
            await client.rcpt(address)
        except aiosmtplib.SMTPRecipientRefused as e:
            refused.append(f"{address} ({e.code} {quoted(e.message)})")
            if len(refused) == len(to):
                raise
    return f"refused for {', '.join(refused)}" if refused else ""


def _stuffed(mail: bytes) -> bytes:
    """The mail as DATA wants it: no line begins with a single full stop, and one stands alone at its end."""
    return re.sub(rb"(?m)^\.", b"..", mail) + b".\r\n"


def _forms(username: str, password: str) -> tuple[str, ...]:
    """The password as it is, and as it goes over the wire (RFC 4616, and the LOGIN of old)."""
    if not password:
        return ()
    wires = (f"\0{username}\0{password}", password)
    return (password, *(base64.b64encode(wire.encode()).decode().rstrip("=") for wire in wires))


def _fits(message: Message, left_out: int) -> bool:
    return len(plain(message, left_out).encode()) <= wire.MOST_BYTES
