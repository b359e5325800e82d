"""A dead man's switch: an outside address is asked for as long as the cloud does its work, and no longer.

Whoever watches that address (healthchecks.io, or a script on another machine) calls somebody when the requests stay
away. What is asked before each request is the real thing: a write that commits, readings that become rows, orders that
are given up on in time, boxes whose blocks are stored. So a process whose loop still turns beside a database that takes
nothing sends none.
"""

import asyncio
import http.client
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import structlog
from prometheus_client import Counter

from cloud.settings import Deadman as Settings
from cloud.store import Database, health
from contract.errors import Retryable
from contract.version import VERSION

log = structlog.get_logger()
_PINGS = Counter("anju_deadman_pings", "Requests to the address that notices when this cloud is down", ["outcome"])
LANDED_S = 3600.0
"""A city's backlog may take a while."""
OVERDUE_S = 60.0
STORED_S = 600.0
_CHECK_S = 10.0
_REQUEST_S = 10.0


class Deadman:
    """Asks for the address, or does not. `url` is a secret: it is in no log."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._host = urlsplit(settings.url).hostname or ""
        self._said = ""

    async def run(self) -> None:
        """Goes on for ever. Without an address it does nothing."""
        if not self._settings.url:
            await asyncio.Event().wait()
        log.info("an outside address is told that this cloud lives", host=self._host, every_s=self._settings.every_s)
        with ThreadPoolExecutor(1, "deadman") as thread:  # one: a service that hangs costs no more
            while True:
                try:
                    problem = await self.problem()
                except Exception:
                    log.exception("cannot see whether this cloud works")
                    problem = "it cannot be seen whether it works"
                if problem:
                    _PINGS.labels("withheld").inc()
                    self._say(f"the outside address is not told that this cloud lives: {problem}")
                else:
                    await self._ping(thread)
                await asyncio.sleep(self._settings.every_s)

    async def problem(self) -> str:
        """What keeps the cloud from doing its work now, in words; empty where nothing does."""
        try:
            async with asyncio.timeout(_CHECK_S):
                async with self._database.transaction() as connection:
                    await health.beat(connection)
                async with self._database.connect() as connection:
                    work = await health.work(connection)
        except TimeoutError:
            return f"the database took longer than {_CHECK_S:g} s to keep a row"
        except Retryable as e:
            return str(e)
        if work.landed_s > LANDED_S:
            return f"readings have waited for {work.landed_s:.0f} s to become rows"
        if work.overdue_s > OVERDUE_S:
            return f"an order should have been given up on {work.overdue_s:.0f} s ago"
        if work.waiting_boxes and work.stored_s > STORED_S:
            return (
                f"{work.waiting_boxes} boxes have blocks to deliver, and nothing was stored for {work.stored_s:.0f} s"
            )
        return ""

    async def _ping(self, thread: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(2 * _REQUEST_S):
                problem = await loop.run_in_executor(thread, _get, self._settings.url)
        except TimeoutError:
            problem = "no answer"
        if problem:
            _PINGS.labels("failed").inc()
            self._say(f"the outside address cannot be told that this cloud lives: {problem}")
        else:
            _PINGS.labels("sent").inc()
            self._say("")

    def _say(self, problem: str) -> None:
        """Says a trouble once, and once that it is over."""
        if problem and not self._said:
            log.warning(problem, host=self._host)
        elif self._said and not problem:
            log.info("the outside address is told again that this cloud lives", host=self._host)
        self._said = problem


def _get(url: str) -> str:
    """One request; what was wrong in words that do not hold the address, empty where it was answered with 2xx."""
    request = urllib.request.Request(url, headers={"User-Agent": f"anju-cloud/{VERSION}"})  # noqa: S310  # from the settings
    try:
        with urllib.request.urlopen(request, timeout=_REQUEST_S) as answer:  # noqa: S310
            return "" if 200 <= answer.status < 300 else f"it answered {answer.status}"
    except urllib.error.HTTPError as e:
        return f"it answered {e.code}"
    except urllib.error.URLError as e:
        return e.reason.strerror or type(e.reason).__name__ if isinstance(e.reason, OSError) else "it cannot be asked"
    except (OSError, ValueError, http.client.HTTPException) as e:  # whose texts may hold the address
        return type(e).__name__
