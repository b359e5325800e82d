"""Where the guard page is listened at, and what keeps strangers on the network from wearing the box down."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from contract.site.linkage import checked_listen

log = structlog.get_logger(__name__)

RETRY_S: Final = 5.0
MAX_CONNECTIONS: Final = 64
"""The oldest connection goes when one more comes: an answer takes milliseconds, so only an idle one is lost."""


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether a line is about us: what strangers send that is no HTTP must not fill the log."""
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or not issubclass(kind, HttpProcessingError)


http_log: Final = logging.getLogger(f"{__name__}.http")
http_log.addFilter(_is_ours)


class Listening:
    """The page's address, which may not be there yet: a box can be up before its network is."""

    def __init__(self, listen: str, runner: web.AppRunner) -> None:
        self._host, self._port = checked_listen(listen)
        self._make = _bounded(runner)
        self._server: asyncio.Server | None = None
        self._is_told = False

    @property
    def port(self) -> int:
        """The port; 0 while there is none."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server else 0

    async def try_once(self) -> bool:
        """Listens, if that can be; that it cannot is said once."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self._make, self._host, self._port, backlog=MAX_CONNECTIONS)
        except (OSError, UnicodeError) as e:
            if not self._is_told:
                problem, where = getattr(e, "strerror", None) or str(e), f"{self._host}:{self._port}"
                log.warning("no guard page yet: its address cannot be had; trying again for ever", listen=where,
                            problem=problem)  # fmt: skip
            self._is_told = True
            return False
        log.info("guard page", listen=f"{self._host}:{self.port}")
        return True

    async def try_for_ever(self) -> None:
        """Listens as soon as it can be."""
        while not await self.try_once():  # noqa: ASYNC110  # nobody tells when an address comes
            await asyncio.sleep(RETRY_S)

    def close(self) -> None:
        """Listens no more."""
        if self._server is not None:
            self._server.close()


def _bounded(runner: web.AppRunner) -> Callable[[], asyncio.Protocol]:
    """Makes connections, never more than MAX_CONNECTIONS at once: idle ones must not use up the box's file handles."""
    server = runner.server
    assert server is not None

    def make() -> asyncio.Protocol:
        open_now = server.connections
        for oldest in open_now[: len(open_now) - MAX_CONNECTIONS + 1]:
            oldest.force_close()
        return server()

    return make
