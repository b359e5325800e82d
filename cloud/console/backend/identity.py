"""Who is asking: the session cookie, and the person behind it with their estates."""

from starlette.requests import Request
from starlette.responses import Response

from cloud.console.data import Action, Person, SignIn
from cloud.identity.people import LoginRefusedError, People, Right
from cloud.identity.people import Person as Known

_RETRY_S = 900


class SignedIn(Person, frozen=True, kw_only=True):
    """A console's person with what identity knows of them: their estates by right."""

    known: Known

    def estates(self, right: Right = Right.VIEW) -> tuple[int, ...]:
        """The estates where this person has a right."""
        return self.known.estates(right)


def signed_in(person: Person) -> SignedIn:
    """The person as this backend made them."""
    assert isinstance(person, SignedIn)
    return person


class CookieIdentity:
    """Sessions in an HttpOnly cookie; `https` gives it the `__Host-` prefix and Secure."""

    def __init__(self, people: People, *, https: bool) -> None:
        self._people = people
        self._https = https
        self._cookie = "__Host-anju" if https else "anju"

    async def person(self, request: Request) -> Person | None:
        """Who the session is, with the rights of this moment."""
        token = request.cookies.get(self._cookie)
        known = await self._people.person(token) if token else None
        if known is None:
            return None
        actions = {
            action
            for action, right in ((Action.ACKNOWLEDGE, Right.ACKNOWLEDGE), (Action.COMMAND, Right.COMMAND))
            if known.estates(right)
        }
        return SignedIn(
            id=str(known.id),
            name=known.name,
            role=known.roles[0] if known.roles else "",
            actions=frozenset(actions),
            language=known.language,
            known=known,
        )

    async def sign_in(self, request: Request, response: Response, login: str, password: str) -> SignIn:
        """Opens a session; a session that was there ends, so that a planted cookie is worth nothing."""
        try:
            session = await self._people.log_in(login, password, address_of(request))
        except LoginRefusedError as e:
            return SignIn(ok=False, retry_after_s=_RETRY_S if e.too_many else 0)
        await self.sign_out(request, response)
        response.set_cookie(
            self._cookie, session.token, max_age=int(session.lasts.total_seconds()),
            httponly=True, samesite="lax", secure=self._https, path="/",
        )  # fmt: skip
        return SignIn(ok=True)

    async def sign_out(self, request: Request, response: Response) -> None:
        """Ends the session of the request, where it has one."""
        token = request.cookies.get(self._cookie)
        known = await self._people.person(token) if token else None
        if token and known:
            await self._people.log_out(token, known, address_of(request))
        response.delete_cookie(self._cookie, path="/", secure=self._https, httponly=True, samesite="lax")


def address_of(request: Request) -> str:
    """Where a request comes from, for the audit log."""
    return request.client.host if request.client else ""
