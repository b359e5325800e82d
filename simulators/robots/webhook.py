"""A webhook's receiver, written from cloud/notify/channels/webhook/README.md as somebody else would."""

import hmac
from collections.abc import Mapping
from typing import Any

from simulators.robots.desk import Delivery, Desk
from simulators.robots.reply import Reply, json_of, text_of

SERVICE = "webhook"
SIGNATURE_S = 300.0


class Receiver:
    """Takes messages whose signature fits; what it has already it acknowledges and does not take again."""

    def __init__(self, desk: Desk, secret: str = "") -> None:
        self._desk, self._secret = desk, secret
        self._seen: set[str] = set()
        self.repeats = 0

    def take(self, headers: Mapping[str, str], body: bytes, now_s: float) -> Reply:
        """Answers a request at a Unix time."""
        at = headers.get("Anju-Timestamp", "")
        if self._secret:
            signed = hmac.new(self._secret.encode(), f"{at}.".encode() + body, "sha256").hexdigest()
            is_now = at.isdecimal() and abs(int(at) - now_s) <= SIGNATURE_S
            if not is_now or not hmac.compare_digest(headers.get("Anju-Signature", ""), f"v1={signed}"):
                return self._refuse(403, "the signature does not fit")
        said = json_of(body)
        lines = said.get("lines")
        if not said.get("id") or not isinstance(lines, list):
            return self._refuse(422, "this is no message")
        key = headers.get("Idempotency-Key", "")
        if key and key in self._seen:
            self.repeats += 1
            return Reply({"already": True})
        self._seen.add(key)
        words = text_of(said.get("title"), *(_text(line) for line in lines), said.get("url"))
        mentioned = tuple(who.get("mobile") or who.get("email") or who.get("name") for who in said.get("to", ()))
        self._desk.accept(
            Delivery(at=self._desk.clock(), service=SERVICE, text=words or "", mentioned=mentioned, key=key, said=said)
        )
        return Reply({"taken": True}, 202)

    def _refuse(self, status: int, words: str) -> Reply:
        self._desk.refuse(SERVICE, f"{status} {words}")
        return Reply({"problem": words}, status)


def _text(line: dict[str, Any]) -> str:
    return f"{line.get('text', '')} {line.get('url', '')}"
