"""Routes of blocks that could not be stored: the list, one block, storing it once more, dropping it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from cloud.console.data import Action, Person, QuarantineData, ReplayOutcome
from cloud.console.quarantine.view import AsideList, AsidePage, aside_list, aside_page, came_words
from cloud.console.web import Web

MOST_SHOWN = 100
BlockId = Annotated[int, Path(ge=1, lt=1 << 63)]


def router(pages: Web, quarantine: QuarantineData) -> APIRouter:
    """Blocks that were set aside."""
    routes = APIRouter()

    async def view(request: Request, person: Person, gateway: UUID | None) -> AsideList:
        rows, count = await quarantine.set_aside(person, gateway, MOST_SHOWN)
        return aside_list(pages.voice(request), rows, count, gateway)

    async def one(request: Request, person: Person, block_id: int) -> AsidePage:
        found = await quarantine.block(person, block_id)
        if found is None:
            raise HTTPException(404)
        return aside_page(pages.voice(request), *found)

    @routes.get("/quarantine")
    async def page(
        request: Request, person: Annotated[Person, Depends(pages.signed_in)], gateway: UUID | None = None
    ) -> Response:
        return await pages.page(request, person, "quarantine/page.html", view=await view(request, person, gateway))

    @routes.get("/quarantine/list")
    async def live(
        request: Request, person: Annotated[Person, Depends(pages.signed_in)], gateway: UUID | None = None
    ) -> Response:
        return pages.render(request, "quarantine/list.html", view=await view(request, person, gateway))

    @routes.get("/quarantine/{block_id}")
    async def block(
        request: Request, block_id: BlockId, person: Annotated[Person, Depends(pages.signed_in)]
    ) -> Response:
        may = person.may(Action.MANAGE)
        return await pages.page(
            request, person, "quarantine/block.html", view=await one(request, person, block_id), may_manage=may,
            can_replay=quarantine.can_replay, said="",
        )  # fmt: skip

    @routes.get("/quarantine/{block_id}/drop")
    async def ask(
        request: Request, block_id: BlockId, person: Annotated[Person, Depends(pages.may(Action.MANAGE))]
    ) -> Response:
        return await pages.page(request, person, "quarantine/drop.html", view=await one(request, person, block_id))

    @routes.post("/quarantine/{block_id}/replay")
    async def replay(
        request: Request, block_id: BlockId, person: Annotated[Person, Depends(pages.may(Action.MANAGE))]
    ) -> Response:
        came = await quarantine.replay(person, block_id)
        if came.outcome is ReplayOutcome.MISSING:
            raise HTTPException(404)
        return await pages.page(
            request, person, "quarantine/block.html", view=await one(request, person, block_id), may_manage=True,
            can_replay=quarantine.can_replay, said=came_words(pages.voice(request), came),
        )  # fmt: skip

    @routes.post("/quarantine/{block_id}/drop")
    async def drop(
        request: Request, block_id: BlockId, person: Annotated[Person, Depends(pages.may(Action.MANAGE))]
    ) -> Response:
        if not await quarantine.drop(person, block_id):
            raise HTTPException(404)
        return pages.changed(request, "/quarantine", "gateways", say=pages.voice(request).t("Dropped."))

    return routes
