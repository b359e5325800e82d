"""One-time links of messages, as their page shows them."""

from typing import Literal

from starlette.requests import Request

from cloud.console.backend.identity import address_of
from cloud.console.quick.data import LinkState, Quick
from cloud.identity.tries import source_of
from cloud.notify.compose import Describe
from cloud.notify.links import Links, Look, Standing

_SHOWN = frozenset({Standing.OPEN, Standing.DONE, Standing.OVER})
"""What a link that is old or used was about is for who is signed in."""


class QuickLinks:
    """Fulfils QuickData, in the words of the messages."""

    def __init__(self, links: Links, describe: Describe) -> None:
        self._links = links
        self._describe = describe

    async def look(self, request: Request, token: str, language: Literal["zh", "en"]) -> Quick:
        """What a link is about."""
        return self._quick(await self._links.look(token, source_of(address_of(request))), language)

    async def acknowledge(self, request: Request, token: str, language: Literal["zh", "en"]) -> Quick:
        """Acknowledges by a link."""
        address = address_of(request)
        return self._quick(await self._links.use(token, address, source_of(address)), language)

    def _quick(self, look: Look, language: Literal["zh", "en"]) -> Quick:
        is_shown = look.alarm is not None and look.standing in _SHOWN
        title, lines = self._describe(look.alarm, language) if look.alarm and is_shown else ("", ())
        return Quick(LinkState(look.standing.value), title, lines, look.name)
