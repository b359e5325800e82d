"""A Feishu custom bot, from its documents: https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot."""

import base64
import hmac
from typing import Any

from simulators.robots.desk import Delivery, Desk, Window
from simulators.robots.reply import Reply, json_of, text_of

SERVICE = "feishu"
MOST_BYTES = 20 << 10
SIGNATURE_S = 3600.0


class FeishuBot:
    """One bot of one group; secured by a signature, a keyword, or both."""

    def __init__(self, desk: Desk, token: str, secret: str = "", keyword: str = "") -> None:
        self._desk, self._token, self._secret, self._keyword = desk, token, secret, keyword
        self._minute, self._second = Window(100, 60.0), Window(5, 1.0)

    def take(self, token: str, body: bytes, now_s: float) -> Reply:
        """Answers a request at a Unix time."""
        if token != self._token:
            return self._refuse(19001, "param invalid: incoming webhook access token invalid")
        said = json_of(body)
        content = said.get("content") if isinstance(said.get("content"), dict) else None
        read = _words(said.get("msg_type"), content or {})
        if len(body) > MOST_BYTES or read is None:
            return self._refuse(9499, "Bad Request", status=400)
        if self._secret and not self._is_signed(said, now_s):
            return self._refuse(19021, "sign match fail or timestamp is not within one hour from current time")
        words, mentioned = read
        if self._keyword and self._keyword not in words:
            return self._refuse(19024, "Key Words Not Found")
        now = self._desk.clock()
        if not (self._second.take(now) and self._minute.take(now)):
            return self._refuse(11232, "frequency limited psm[lark.oapi.app_platform_runtime]appID[1500]")
        self._desk.accept(Delivery(at=now, service=SERVICE, text=words, mentioned=mentioned, said=said))
        return Reply({"StatusCode": 0, "StatusMessage": "success", "code": 0, "data": {}, "msg": "success"})

    def _is_signed(self, said: dict[str, Any], now_s: float) -> bool:
        at = str(said.get("timestamp", ""))
        if not at.isdecimal() or abs(int(at) - now_s) > SIGNATURE_S:
            return False
        signed = hmac.new(f"{at}\n{self._secret}".encode(), b"", "sha256").digest()
        return said.get("sign") == base64.b64encode(signed).decode()

    def _refuse(self, code: int, words: str, status: int = 200) -> Reply:
        self._desk.refuse(SERVICE, f"{code} {words}")
        return Reply({"code": code, "data": {}, "msg": words}, status)


def _words(kind: Any, content: dict[str, Any]) -> tuple[str, tuple[str, ...]] | None:
    if kind == "text" and (words := text_of(content.get("text"))) is not None:
        return words, ()
    if kind != "post" or not isinstance(post := content.get("post"), dict):
        return None
    for said in post.values():  # one a language
        paragraphs = said.get("content") or []
        tags = [tag for paragraph in paragraphs for tag in paragraph]
        texts = ["".join(_text(tag) for tag in paragraph) for paragraph in paragraphs]
        mentioned = tuple(tag["user_id"] for tag in tags if tag.get("tag") == "at")
        if (words := text_of(said.get("title"), *texts)) is not None:
            return words, mentioned
    return None


def _text(tag: dict[str, Any]) -> str:
    if tag.get("tag") == "a":
        return f"{tag['text']} {tag['href']}"
    return str(tag.get("text", ""))
