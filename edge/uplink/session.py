"""The requests of a session, each one function: challenge, session, blocks, down stream. No policy, no retries."""

import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import UTC
from math import isfinite
from typing import TypeVar

import msgspec

from contract.clock import mono_ns
from contract.decoding import from_json
from contract.errors import Retryable
from contract.kinds import Lane
from contract.messages import Command
from contract.session import (
    BEAT_PATH,
    BEAT_S,
    CHALLENGE_PATH,
    DOWN_PATH,
    HEARTBEAT_S,
    NOTHING_TO_TELL,
    SESSION_PATH,
    Beat,
    BeatReply,
    BlocksReply,
    ChallengeReply,
    ChallengeRequest,
    Cursor,
    Refusal,
    SessionReply,
    SessionRequest,
    blocks_path,
    join_blocks,
)
from edge.http.client import Answer, Client, Pace
from edge.http.dial import login_hint
from edge.seams import Signer
from edge.uplink.clock import MAX_TIME_NS, MIN_TIME_NS

T = TypeVar("T")
REQUEST_TIMEOUT_S = 30.0
BLOCKS_TIMEOUT_S = 120.0
"""A full request on a slow mobile link takes its time."""
SLOWEST_BYTES_S = 1000.0
"""Bulk has as much longer as it takes at this pace, half of the lowest cap: a block that never fits its time would
hold up all that come after it for ever."""
SILENT_AFTER_HEARTBEATS = 3
_MAX_DETAIL = 8192
MAX_REPLY_BYTES = 64 << 10
"""No answer of the cloud is this large; the box reads no more of one."""
MIN_EXPIRES_S, MAX_EXPIRES_S = 60.0, 24 * 3600.0
"""A token is taken to last neither shorter (the box would do nothing but sign) nor longer than this."""
_MAX_NUMBER = 2**63 - 1


class SessionLost(Retryable):
    """The token is no longer good: a new session must be opened."""


class Busy(Retryable):
    """The cloud asks to wait (429, 503), or failed inside (other 5xx); the session is still good."""


class Unsound(Retryable):
    """The cloud could not read what was sent (400), or it is too much at once (413)."""


class Opened(msgspec.Struct, frozen=True):
    """An open session, and the monotonic times around the round trip that told the cloud's time."""

    reply: SessionReply
    sent_ns: int
    received_ns: int

    @property
    def expires_s(self) -> float:
        """How long the token lasts, within reason."""
        return min(max(self.reply.expires_s, MIN_EXPIRES_S), MAX_EXPIRES_S)

    @property
    def time_ns(self) -> int | None:
        """The cloud's time, or None where it cannot be right."""
        return self.reply.time_ns if MIN_TIME_NS <= self.reply.time_ns <= MAX_TIME_NS else None


class Requests:
    """One cloud, spoken to over one connection pool. Every method raises Retryable where something is in the way.

    What the cloud knows a second time when it sees it may be sent twice: a challenge, blocks, a beat.
    """

    def __init__(self, http: Client, url: str, utc_ns: Callable[[], int | None] = lambda: None) -> None:
        """`utc_ns` is the cloud's time where it is known, for answers that name a date."""
        self._http, self._url, self._utc_ns = http, url.rstrip("/"), utc_ns
        self.token = ""

    async def open(self, identity: Signer, version: str, beat_s: float = BEAT_S) -> Opened:
        """Opens a session (or renews it): signs the cloud's nonce, keeps the token."""
        with _network_errors():
            challenge = await self._json(
                CHALLENGE_PATH, ChallengeRequest(identity.gateway), ChallengeReply, is_repeatable=True
            )
            signature = identity.sign(challenge.nonce, self._url)
            request = SessionRequest(identity.gateway, challenge.nonce, signature, version, beat_s)
            sent_ns = mono_ns()
            reply = await self._json(SESSION_PATH, request, SessionReply, is_repeatable=False)
            received_ns = mono_ns()
            for cursor in (reply.urgent, reply.bulk):
                _check_cursor(cursor)
        self.token = reply.token
        return Opened(reply, sent_ns, received_ns)

    async def _json(self, path: str, body: msgspec.Struct, model: type[T], *, is_repeatable: bool) -> T:
        async with self._http.request(
            "POST", path, body=msgspec.json.encode(body), total_s=REQUEST_TIMEOUT_S, is_repeatable=is_repeatable
        ) as answer:
            await self._raise_for(answer)
            return from_json(await answer.read(MAX_REPLY_BYTES), model)

    @property
    def _token(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def send(self, stream: Lane, blocks: list[bytes], pace: Pace | None = None) -> BlocksReply | Refusal:
        """Posts consecutive blocks; the cloud's cursor after COMMIT, or why it refused them (409)."""
        body = join_blocks(blocks)
        total_s = BLOCKS_TIMEOUT_S + (len(body) / SLOWEST_BYTES_S if pace is not None else 0.0)
        with _network_errors():
            async with self._http.request(
                "POST", blocks_path(stream), body=body, headers=self._token, total_s=total_s, is_repeatable=True,
                pace=pace,
            ) as answer:  # fmt: skip
                reply: BlocksReply | Refusal
                if answer.status == 409:
                    reply = from_json(await answer.read(MAX_REPLY_BYTES), Refusal)
                else:
                    await self._raise_for(answer)
                    reply = from_json(await answer.read(MAX_REPLY_BYTES), BlocksReply)
                _check_cursor(reply.cursor)
                return reply

    async def beat(self, beat: Beat) -> BeatReply:
        """Tells that the box lives, how many blocks it keeps, and perhaps how it is."""
        with _network_errors():
            async with self._http.request(
                "POST", BEAT_PATH, body=msgspec.json.encode(beat), headers=self._token, total_s=REQUEST_TIMEOUT_S,
                is_repeatable=True,
            ) as answer:  # fmt: skip
                await self._raise_for(answer)
                body = await answer.read(MAX_REPLY_BYTES)
                return NOTHING_TO_TELL if answer.status == 204 else from_json(body, BeatReply)

    async def listen(self, heartbeat_s: float = HEARTBEAT_S) -> AsyncGenerator[bytes, None]:
        """The lines of the down stream, without its heartbeats; it ends when the cloud ends it.

        Raises Retryable after three heartbeats of silence.
        """
        path = DOWN_PATH if heartbeat_s == HEARTBEAT_S else f"{DOWN_PATH}?heartbeat_s={heartbeat_s:g}"
        with _network_errors():
            async with self._http.request(
                "GET", path, headers=self._token, total_s=None, silence_s=SILENT_AFTER_HEARTBEATS * heartbeat_s
            ) as answer:
                await self._raise_for(answer)
                async with aclosing(answer.lines()) as lines:
                    async for line in lines:
                        if line.strip():
                            yield line

    async def _raise_for(self, answer: Answer) -> None:
        """Raises for any answer but a good one what the box must do about it."""
        status = answer.status
        if status in {200, 204}:
            return
        try:
            said = f"the cloud answered {status}{_detail(await answer.read(_MAX_DETAIL))}"
        except ValueError:  # a long page of somebody on the way
            said = f"the cloud answered {status}"
        after_s = _retry_after_s(answer.headers.get("retry-after"), self._utc_ns())
        if status == 401:
            raise SessionLost(f"{said}; this box or its session is not (or no longer) accepted", after_s)
        if status in {403, 404}:
            raise Retryable(f"{said}; it does not know this gateway, or its access was revoked", 30.0)
        if status == 407 and (proxy := self._http.proxy) is not None:
            raise Retryable(f"the proxy {proxy.with_port} answered 407; {login_hint(proxy)}", after_s)
        if status in {400, 413}:
            raise Unsound(said, after_s)
        if status == 429 or status >= 500:
            raise Busy(said, after_s)
        raise Retryable(said, after_s)


def decode_command(line: bytes) -> Command:
    """A line of the down stream. Raises msgspec.MsgspecError (DecodeError, ValidationError)."""
    return from_json(line, Command)


def _check_cursor(cursor: Cursor) -> None:
    """Raises ValueError for numbers that no cloud of ours keeps, before anything is done with them."""
    if not all(0 <= number <= _MAX_NUMBER for number in (cursor.epoch, cursor.number, cursor.checksum)):
        raise ValueError(f"a cursor out of range: {cursor}")


class _Problem(msgspec.Struct):
    """What of a problem-details body (RFC 9457) is for people."""

    detail: str = ""


def _detail(body: bytes) -> str:
    """The sentence of a problem-details body, behind a colon; empty where there is none."""
    try:
        said = from_json(body, _Problem).detail
    except msgspec.MsgspecError:
        return ""
    return f": {said}" if said else ""


def _retry_after_s(text: str | None, utc_ns: int | None) -> float | None:
    """Seconds of a Retry-After header, which has them or a date; None where it has neither.

    A date counts where the cloud's time is known.
    """
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        if utc_ns is None:
            return None
        from email.utils import parsedate_to_datetime  # seldom wanted, and large

        try:
            at = parsedate_to_datetime(text)
        except (ValueError, OverflowError):  # the latter for a year or a zone of twenty digits
            return None
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - utc_ns / 1e9
    return max(0.0, seconds) if isfinite(seconds) else None


class _network_errors:  # noqa: N801  # reads as the statement it is
    """Turns what the network and a strange peer can do into Retryable, each with its words."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ssl.SSLCertVerificationError):
            raise Retryable(
                f"the cloud's certificate is not trusted ({error}); "
                "name your authority's file as cloud.ca, or check the box's date"
            ) from error
        if isinstance(error, OSError):  # a TimeoutError is one
            raise Retryable(f"the cloud cannot be reached: {str(error) or type(error).__name__}") from error
        if isinstance(error, msgspec.MsgspecError | ValueError):
            raise Retryable(f"the cloud answered something unexpected: {error}") from error
