"""Routes of one-time links."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from cloud.console.quick.data import LinkState, Quick, QuickData
from cloud.console.quick.view import STATUS, state_words
from cloud.console.web import Web

Token = Annotated[str, Path(max_length=100)]


def router(pages: Web, data: QuickData) -> APIRouter:
    """Look at a link, and use it."""
    routes = APIRouter()

    def answer(request: Request, quick: Quick) -> Response:
        said = state_words(pages.voice(request), quick.state)
        is_open, status = quick.state is LinkState.OPEN, STATUS.get(quick.state, 200)
        response = pages.render(request, "quick/page.html", status=status, quick=quick, said=said, is_open=is_open)
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Robots-Tag"] = "noindex, nofollow"
        return response

    def language(request: Request) -> Literal["zh", "en"]:
        return "zh" if pages.voice(request).t.is_chinese else "en"

    @routes.get("/a/{token}")
    async def look(request: Request, token: Token) -> Response:
        return answer(request, await data.look(request, token, language(request)))

    @routes.post("/a/{token}")
    async def use(request: Request, token: Token) -> Response:
        return answer(request, await data.acknowledge(request, token, language(request)))

    return routes
