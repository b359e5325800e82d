"""A Gotify server, as one of the services that Apprise knows: https://gotify.net/docs/pushmsg."""

from collections.abc import Mapping

from simulators.robots.desk import Delivery, Desk
from simulators.robots.reply import Reply, json_of, text_of

SERVICE = "apprise"


class Gotify:
    """Takes messages of one application."""

    def __init__(self, desk: Desk, token: str) -> None:
        self._desk, self._token = desk, token

    def take(self, headers: Mapping[str, str], body: bytes) -> Reply:
        """Answers a request."""
        if headers.get("X-Gotify-Key") != self._token:
            return self._refuse(401, "you need to provide a valid access token or user credentials to access this api")
        said = json_of(body)
        words = text_of(said.get("title"), said.get("message"))
        if words is None:
            return self._refuse(400, "Field 'message' is required")
        self._desk.accept(Delivery(at=self._desk.clock(), service=SERVICE, text=words, said=said))
        return Reply({"id": len(self._desk.accepted)})

    def _refuse(self, status: int, words: str) -> Reply:
        self._desk.refuse(SERVICE, f"{status} {words}")
        return Reply({"errorCode": status, "errorDescription": words}, status)
