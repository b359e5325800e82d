"""The channel: configuration and sending, in a thread. What it cannot promise stands in README.md beside this file."""

import asyncio
import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from cloud.notify.channel import Limits, Message, Result, Start
from cloud.notify.channels.apprise import wire
from cloud.notify.channels.config import Common, Problem, reference_problems
from cloud.notify.reach import NotReachableError, look
from cloud.notify.secrets import SecretError
from cloud.notify.text import fitted, heading, plain, room
from cloud.notify.tools import Tools

MOST_PER_MIN: Final = 20
HOLD_S: Final = 2.0
"""For so long the gate stays open for Apprise to connect and send; who acknowledges meanwhile waits for it."""
_THREADS: Final = 4
_pool: Final = ThreadPoolExecutor(_THREADS, "apprise")
"""Its own: services that hang take no thread from anybody else."""
_free: Final = threading.BoundedSemaphore(_THREADS)


class AppriseConfig(Common, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One service."""

    url: str
    """Names the secret that is the service's address, with its keys."""
    limit_chars: int = 1000
    """What the service takes at once."""

    def problems(self) -> list[Problem]:
        """What is wrong with it beyond its types."""
        problems = [*super().problems(), *reference_problems(url=self.url)]
        if not 200 <= self.limit_chars <= 100_000:
            problems.append(("limit_chars is not from 200 to 100000", "see what the service takes"))
        return problems

    @property
    def references(self) -> tuple[str, ...]:
        """The secrets that it names."""
        return (self.url,)


class Apprise:
    """A channel, see cloud/notify/channel.py."""

    kind = "apprise"

    def __init__(self, config: AppriseConfig, tools: Tools) -> None:
        self.limits = Limits(rate_per_min=config.rate(MOST_PER_MIN), blocked_s=60.0, limit_chars=config.limit_chars)
        self._config = config
        self._tools = tools

    def room(self, message: Message) -> int:
        """See Channel."""
        return room(message, self._fits)

    async def send(self, message: Message, start: Start) -> Result:
        """See Channel; the gate stays open while Apprise sends, HOLD_S at most."""
        try:
            url = self._tools.secrets.read(self._config.url)
        except SecretError as e:
            return Result(accepted=False, reason=str(e), code="secret")
        if problem := wire.schema_problem(url):
            return Result(accepted=False, reason=problem, code="address")
        if not _free.acquire(blocking=False):
            reason = "all threads for Apprise wait for services that do not answer"
            return Result(accepted=False, reason=reason, code="busy", again=True, retry_after_s=10.0)
        begun = False
        try:
            if isinstance(service := await self._service(url), Result):
                return service
            shown, left_out = fitted(message, self._fits)
            async with start():
                begun = True
                sending = _pool.submit(_notify, service, heading(shown), plain(shown, left_out))
                sending.add_done_callback(lambda _: _free.release())
                await asyncio.wait([asyncio.wrap_future(sending)], timeout=HOLD_S)
        finally:
            if not begun:
                _free.release()
        return await self._outcome(sending)

    async def _service(self, url: str) -> Any:
        """Apprise's service for an address, or a Result that says why there is none."""
        http = self._tools.http
        service = await asyncio.to_thread(_instantiate, url, http.connect_s, http.answer_s)
        if service is None:
            reason = "Apprise does not understand the address: see its documents for the service"
            return Result(accepted=False, reason=reason, code="address")
        if not service.verify_certificate:
            reason = "the address turns the check of certificates off: leave verify=no out"
            return Result(accepted=False, reason=reason, code="address")
        if "host" not in service.template_tokens:  # the service's own address, within the plugin
            return service
        if not (service.secure or http.reach.allows_plain(service.host)):
            reason = "the address speaks to its host in clear: use the service's secure form, which ends in s"
            return Result(accepted=False, reason=reason, code="address")
        try:
            await look(http.reach, service.host, service.port or 443)
        except NotReachableError as e:
            return Result(accepted=False, reason=str(e), code=e.code)
        return service

    async def _outcome(self, sending: "Future[Result]") -> Result:
        within_s = self._tools.http.connect_s + self._tools.http.answer_s
        done, _ = await asyncio.wait([asyncio.wrap_future(sending)], timeout=within_s)
        if not done:
            reason = f"Apprise is not done within {within_s:g} s: the message may have arrived"
            return Result(accepted=False, reason=reason, code="time-out", again=True, uncertain=True)
        return sending.result()

    def _fits(self, message: Message, left_out: int) -> bool:
        return len(plain(message, left_out)) <= self._config.limit_chars


class _Log(logging.Handler):
    """What Apprise says in each of its threads, while something listens there; nothing of it goes to our log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a line."""
        heard = getattr(self.lines, "heard", None)
        if heard is not None and len(heard) < 20:
            heard.append(record.getMessage())


_log: Final = _Log()
logging.getLogger("apprise").addHandler(_log)
logging.getLogger("apprise").propagate = False  # its lines hold addresses with keys


def _instantiate(url: str, connect_s: float, answer_s: float) -> Any:
    """The service, or None. In a thread: the first time all plugins are imported."""
    import apprise

    asset = apprise.AppriseAsset(storage_mode=apprise.PersistentStoreMode.MEMORY, http_redirects=False)
    service = apprise.Apprise.instantiate(url, asset=asset)
    if service is not None:
        service.redirects = False
        service.socket_connect_timeout = connect_s
        service.socket_read_timeout = answer_s
    return service


def _notify(service: Any, title: str, body: str) -> Result:
    """Sends; in a thread of its own pool."""
    heard: list[str] = []
    _log.lines.heard = heard
    try:
        is_sent = bool(service.notify(body=body, title=title, body_format="text"))
    except Exception:  # noqa: BLE001  # a plugin may raise anything, and its text may hold the address
        is_sent = False
    finally:
        _log.lines.heard = None
    return wire.judge(is_sent, heard)
