"""Routes of the rules: the list, one rule, switching it off and on."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Path
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cloud.console.alarms.data import Outcome
from cloud.console.data import Action, Person
from cloud.console.rules.data import RulesData
from cloud.console.rules.view import RulePage, rule_groups, rule_page
from cloud.console.web import Web
from cloud.console.words.acts import refusal_words

MOST_WHY = 200
"""Characters of a reason."""
Name = Annotated[str, Path(max_length=100)]
Why = Annotated[str, Form(min_length=1, max_length=MOST_WHY)]


def router(pages: Web, rules: RulesData) -> APIRouter:
    """The rules."""
    routes = APIRouter()
    looks = Annotated[Person, Depends(pages.signed_in)]
    switches = Annotated[Person, Depends(pages.may(Action.RULES))]

    async def view(request: Request, person: Person, name: str) -> RulePage:
        row = await rules.rule(person, name)
        if row is None:
            raise HTTPException(404)
        return rule_page(pages.voice(request), row, await rules.rule_versions(person, name))

    @routes.get("/rules")
    async def all_rules(request: Request, person: looks) -> Response:
        groups = rule_groups(pages.voice(request), await rules.rules(person))
        return await pages.page(request, person, "rules/page.html", groups=groups)

    @routes.get("/rules/{name}")
    async def one(request: Request, name: Name, person: looks) -> Response:
        return await pages.page(request, person, "rules/rule.html", view=await view(request, person, name), said="")

    async def switch(request: Request, person: Person, name: str, why: str, *, on: bool) -> Response:
        came = await rules.switch_rule(person, name, why, on=on)
        if came.outcome is Outcome.MISSING:
            raise HTTPException(404)
        if came.outcome is Outcome.REFUSED:
            said = refusal_words(pages.voice(request), came.why)
            shown = await view(request, person, name)
            return await pages.page(request, person, "rules/rule.html", view=shown, said=said, status=409)
        return RedirectResponse(f"/rules/{name}", 303)

    @routes.post("/rules/{name}/off")
    async def off(request: Request, name: Name, person: switches, why: Why) -> Response:
        return await switch(request, person, name, why, on=False)

    @routes.post("/rules/{name}/on")
    async def on(request: Request, name: Name, person: switches, why: Why) -> Response:
        return await switch(request, person, name, why, on=True)

    return routes
