"""Who is asking: the session cookie, and the person behind it with their estates."""

from starlette.requests import Request
from starlette.responses import Response

from cloud.console.data import Action, Person, SignedOut, SignIn
from cloud.identity.people import LoginRefusedError, People, Right
from cloud.identity.people import Person as Known
from cloud.identity.tokens import token_hash

RIGHTS = {
    Action.ACKNOWLEDGE: Right.ACKNOWLEDGE,
    Action.COMMAND: Right.COMMAND,
    Action.DISPATCH: Right.DISPATCH,
    Action.RESPOND: Right.RESPOND,
    Action.SHELVE: Right.SHELVE,
    Action.RULES: Right.RULES,
    Action.MANAGE: Right.MANAGE,
}
_BROWSER_S = 400 * 86400
"""The longest that browsers keep a cookie."""


class SignedIn(Person, frozen=True, kw_only=True):
    """A console's person with what identity knows of them (their estates by right), and the address they ask from."""

    known: Known
    address: str

    def estates(self, right: Right = Right.VIEW) -> tuple[int, ...]:
        """The estates where this person has a right."""
        return self.known.estates(right)


def signed_in(person: Person) -> SignedIn:
    """The person as this backend made them."""
    assert isinstance(person, SignedIn)
    return person


class CookieIdentity:
    """Sessions in an HttpOnly cookie; `https` gives it the `__Host-` prefix and Secure.

    A second cookie stays after the session, so that a browser in which a person logged in before is known again.
    """

    def __init__(self, people: People, *, https: bool) -> None:
        self._people = people
        self._https = https
        self._cookie = "__Host-anju" if https else "anju"
        self._browser_cookie = f"{self._cookie}_browser"

    async def person(self, request: Request) -> Person | None:
        """Who the session is, with the rights of this moment."""
        token = request.cookies.get(self._cookie)
        known = await self._people.person(token) if token else None
        if known is None:
            return None
        actions = {action for action, right in RIGHTS.items() if known.estates(right)}
        return SignedIn(
            id=str(known.id),
            name=known.name,
            role=known.roles[0] if known.roles else "",
            actions=frozenset(actions),
            language=known.language,
            session=token_hash(token).hex()[:16] if token else "",
            session_ends=known.session_ends,
            known=known,
            address=address_of(request),
        )

    def signed_out(self, request: Request) -> SignedOut | None:
        """A browser keeps a session's cookie for as long as the session may last: is it there, somebody ended it."""
        if self._cookie in request.cookies:
            return SignedOut.ENDED
        return SignedOut.EXPIRED if self._browser_cookie in request.cookies else None

    async def sign_in(self, request: Request, response: Response, login: str, password: str) -> SignIn:
        """Opens a session; a session that was there ends, so that a planted cookie is worth nothing."""
        try:
            browser = request.cookies.get(self._browser_cookie, "")
            session = await self._people.log_in(login, password, address_of(request), browser)
        except LoginRefusedError as e:
            return SignIn(ok=False, retry_after_s=e.after_s)
        await self._end(request)
        self._set(response, self._cookie, session.token, int(session.lasts.total_seconds()))
        self._set(response, self._browser_cookie, session.browser, _BROWSER_S)
        return SignIn(ok=True)

    def _set(self, response: Response, cookie: str, value: str, max_age_s: int) -> None:
        response.set_cookie(
            cookie, value, max_age=max_age_s, httponly=True, samesite="lax", secure=self._https, path="/"
        )

    async def sign_out(self, request: Request, response: Response) -> None:
        """Ends the session of the request, where it has one."""
        await self._end(request)
        response.delete_cookie(self._cookie, path="/", secure=self._https, httponly=True, samesite="lax")

    async def _end(self, request: Request) -> None:
        token = request.cookies.get(self._cookie)
        known = await self._people.person(token) if token else None
        if token and known:
            await self._people.log_out(token, known, address_of(request))


def address_of(request: Request) -> str:
    """Where a request comes from, for the audit log."""
    return request.client.host if request.client else ""
