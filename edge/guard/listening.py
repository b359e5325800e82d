"""Where the guard page is listened at, and what keeps strangers on the network from wearing the box down."""

import asyncio
from typing import Final

import structlog

from contract.site.linkage import checked_listen
from edge.http.server import Server

log = structlog.get_logger(__name__)

RETRY_S: Final = 5.0
MAX_CONNECTIONS: Final = 64
"""The oldest connection goes when one more comes: an answer takes milliseconds, so only an idle one is lost."""


class Listening:
    """The page's address, which may not be there yet: a box can be up before its network is."""

    def __init__(self, listen: str, server: Server) -> None:
        self._host, self._port = checked_listen(listen)
        self._server = server
        self._is_told = False

    @property
    def port(self) -> int:
        """The port; 0 while there is none."""
        return self._server.port

    async def try_once(self) -> bool:
        """Listens, if that can be; that it cannot is said once."""
        try:
            await self._server.listen(self._host, self._port)
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
