"""One simulated box: a session, a down stream, and what it has to say, over two connections."""

import asyncio
import random
import time
from enum import StrEnum

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contract.errors import AnjuError, Retryable
from contract.kinds import Lane
from contract.records import InventoryRecord
from contract.session import (
    BEAT_PATH,
    CHALLENGE_PATH,
    DOWN_PATH,
    SESSION_PATH,
    Beat,
    ChallengeReply,
    ChallengeRequest,
    SessionReply,
    SessionRequest,
    blocks_path,
    join_blocks,
    signed_text,
)
from contract.version import VERSION
from simulators.load.estate import Chain, Estate
from simulators.load.plan import Identity, Plan, Tick
from simulators.load.wire import ANSWER_S, CONNECT_S, Answer, Down, Server, Wire

RENEW_AT = 0.8
AGAIN_S = (1.0, 5.0)
"""How long a box that lost its session waits, from and to."""
_LOOK_S = 5.0
"""So soon a down stream that ended is opened again."""


class _Do(StrEnum):
    BEAT = "beat"
    BULK = "bulk"
    URGENT = "urgent"
    RENEW = "renew"
    LISTEN = "listen"


class RefusedError(AnjuError):
    """The cloud refused something that a box must never be refused."""


class Box:
    """A box from its first connection on; `run` goes on for ever."""

    def __init__(
        self, identity: Identity, server: Server, plan: Plan, shared: tuple[InventoryRecord, int], tick: Tick, seed: int
    ) -> None:
        self._gateway, self._key = identity.gateway, Ed25519PrivateKey.from_private_bytes(identity.key)
        self._server, self._plan, self._shared = server, plan, shared
        self._dice = random.Random(seed)  # noqa: S311  # a simulation's
        self._estate = Estate(shared[0], shared[1], self._dice)
        self._wire: Wire | None = None
        self._down: Down | None = None
        self._token = ""
        self._expires_s = 0.0
        self._introduced = False
        self.tick = tick

    async def run(self) -> None:
        """Opens a session, lives in it until it is lost, and opens the next."""
        while True:
            try:
                await self._live()
            except Retryable as e:
                self.tick.count("lost")
                self.tick.problems["lost"] = str(e)
                after_s = e.after_s or 0.0
            finally:
                self._leave()
            await asyncio.sleep(max(after_s, self._dice.uniform(*AGAIN_S)))

    def _leave(self) -> None:
        if self._down is not None:
            self.tick.connected -= 1
            self._down.close()
            self._down = None
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    async def _live(self) -> None:
        self._wire = await Wire.dial(self._server)
        await self._open()
        if not self._introduced:
            self._estate.introduce(self._shared[0], time.time_ns())
            self._introduced = True
        if self._estate.urgent.pending:
            await self._send(Lane.URGENT, self._estate.urgent)
        await self._listen()
        self.tick.connected += 1
        loop, dice, plan = asyncio.get_running_loop(), self._dice, self._plan
        now_s = loop.time()
        due = {
            _Do.BEAT: now_s + dice.uniform(0, plan.beat_s),
            _Do.BULK: now_s + dice.uniform(0, plan.bulk_s),
            _Do.URGENT: now_s + dice.expovariate(1 / plan.urgent_s),
            _Do.RENEW: now_s + self._expires_s * RENEW_AT,
            _Do.LISTEN: now_s + _LOOK_S,
        }
        every_s = {_Do.BEAT: plan.beat_s, _Do.BULK: plan.bulk_s, _Do.LISTEN: _LOOK_S}
        while True:
            what = min(due, key=due.__getitem__)
            await asyncio.sleep(due[what] - loop.time())
            if what is _Do.URGENT:
                due[what] += dice.expovariate(1 / plan.urgent_s)
            elif what is _Do.RENEW:
                due[what] += self._expires_s * RENEW_AT
            else:
                due[what] = max(due[what] + every_s[what], loop.time())
            await self._do(what)

    async def _do(self, what: _Do) -> None:
        if what is _Do.BEAT:
            body = msgspec.json.encode(Beat(0, len(self._estate.bulk.pending)))
            _check(await self._timed(what, BEAT_PATH, body))
        elif what is _Do.BULK:
            self._estate.measure(self._plan.readings)
            await self._send(Lane.BULK, self._estate.bulk)
        elif what is _Do.URGENT:
            self._estate.event()
            await self._send(Lane.URGENT, self._estate.urgent)
        elif what is _Do.RENEW:
            await self._open()
        elif self._down is None or self._down.ended:
            self.tick.count("down ended")
            await self._listen()

    async def _open(self) -> None:
        """Opens a session, or renews it."""
        challenge = await self._timed("challenge", CHALLENGE_PATH, msgspec.json.encode(ChallengeRequest(self._gateway)))
        nonce = msgspec.json.decode(_check(challenge).body, type=ChallengeReply).nonce
        signature = self._key.sign(signed_text(self._gateway, nonce, self._server.url))
        request = SessionRequest(self._gateway, nonce, signature, VERSION, self._plan.beat_s)
        answer = await self._timed("session", SESSION_PATH, msgspec.json.encode(request))
        reply = msgspec.json.decode(_check(answer).body, type=SessionReply)
        self._token, self._expires_s = reply.token, reply.expires_s

    async def _listen(self) -> None:
        loop, server = asyncio.get_running_loop(), self._server
        request = server.head("GET", DOWN_PATH, self._token)
        try:
            async with asyncio.timeout(CONNECT_S):
                _, down = await loop.create_connection(lambda: Down(request), server.host, server.port, ssl=server.tls)
        except (OSError, TimeoutError) as e:
            raise Retryable(f"no down stream: {e!r}") from e
        try:
            async with asyncio.timeout(ANSWER_S):
                status = await down.opened
        except TimeoutError:
            status = 0
        if status != 200:
            down.close()
            raise Retryable(f"no down stream: {status}")
        if self._down is not None:
            self._down.close()
        self._down = down

    async def _send(self, lane: Lane, chain: Chain) -> None:
        """Delivers what waits in a stream; a cloud that is busy is asked again as it says."""
        while chain.pending:
            body = join_blocks(chain.pending)
            answer = await self._timed(lane, blocks_path(lane), body)
            if answer.status == 200:
                chain.pending.clear()
                return
            if answer.status in {429, 503}:
                self.tick.count(f"{lane} busy")
                self.tick.problems["busy"] = answer.body.decode(errors="replace")
                await asyncio.sleep(answer.after_s or 1.0)
                continue
            _check(answer)

    async def _timed(self, what: str, path: str, body: bytes) -> Answer:
        """One request; what was answered well counts with its time."""
        if self._wire is None or not self._wire.is_open:
            self._wire = await Wire.dial(self._server)
            self.tick.count("dialled again")
        token = "" if what in {"challenge", "session"} else self._token
        began = time.perf_counter()
        answer = await self._wire.ask(self._server.head("POST", path, token, len(body)), body)
        if answer.status in {200, 204}:
            self.tick.took(what, (time.perf_counter() - began) * 1000)
        return answer


def _check(answer: Answer) -> Answer:
    if answer.status in {401, 429, 500, 502, 503, 504}:
        raise Retryable(f"{answer.status} {answer.body[:200].decode(errors='replace')}", after_s=answer.after_s or None)
    if answer.status not in {200, 204}:
        raise RefusedError(f"the cloud answered {answer.status}: {answer.body[:500].decode(errors='replace')}")
    return answer
