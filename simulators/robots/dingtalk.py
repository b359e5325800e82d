"""A DingTalk custom robot, written from its documents: https://open.dingtalk.com/document/orgapp/custom-robot-access."""

import base64
import hmac
import uuid
from collections.abc import Mapping
from typing import Any

from simulators.robots.desk import Delivery, Desk, Window
from simulators.robots.reply import Reply, json_of, text_of

SERVICE = "dingtalk"
MOST_BYTES = 20_000
PER_MIN = 20
BLOCKED_S = 600.0
SIGNATURE_S = 3600.0


class DingTalkRobot:
    """One robot of one group; secured by a signature, a keyword, or both."""

    def __init__(self, desk: Desk, token: str, secret: str = "", keyword: str = "") -> None:
        self._desk, self._token, self._secret, self._keyword = desk, token, secret, keyword
        self._window = Window(PER_MIN, 60.0, BLOCKED_S)

    def take(self, query: Mapping[str, str], body: bytes, now_s: float) -> Reply:
        """Answers a request at a Unix time."""
        if query.get("access_token") != self._token:
            return self._refuse(300005, "token is not exist")
        if self._secret and (problem := self._signature_problem(query, now_s)):
            return self._refuse(310000, problem)
        if len(body) > MOST_BYTES:
            return self._refuse(460101, "description: body 大小不合法;solution:请保持大小在 20000bytes 以内;")
        said = json_of(body)
        words = _words(said)
        if words is None:
            return self._refuse(40035, "缺少参数 json")
        if self._keyword and self._keyword not in words:
            solution = "请联系群管理员查看此机器人的关键词，并在发送的信息中包含此关键词"
            return self._refuse(310000, f"description:关键词不匹配;solution:{solution};")
        if not self._window.take(self._desk.clock()):
            more = {"status": 1111, "wait": 5, "source": "x5", "punish": "deny", "uuid": uuid.uuid4().hex}
            return self._refuse(130101, "send too fast, exceed 20 times per minute", more)
        at = said.get("at") or {}
        mentioned = ("all",) if at.get("isAtAll") else tuple(at.get("atMobiles") or ())
        self._desk.accept(Delivery(at=self._desk.clock(), service=SERVICE, text=words, mentioned=mentioned, said=said))
        return Reply({"errcode": 0, "errmsg": "ok"})

    def _signature_problem(self, query: Mapping[str, str], now_s: float) -> str:
        at = query.get("timestamp", "")
        if not at.isdecimal() or abs(int(at) / 1000 - now_s) > SIGNATURE_S:
            return "description:机器人发送签名过期;solution:签名生成时间和发送时间请保持在 timestampms 以内;"
        signed = hmac.new(self._secret.encode(), f"{at}\n{self._secret}".encode(), "sha256").digest()
        if query.get("sign") != base64.b64encode(signed).decode():
            solution = "请确认签名和生成签名的时间戳必须都放在调用的网址中，请确认机器人的密钥加密和填写正确"
            return f"description:机器人发送签名不匹配;solution:{solution};"
        return ""

    def _refuse(self, code: int, words: str, more: Mapping[str, Any] | None = None) -> Reply:
        self._desk.refuse(SERVICE, f"{code} {words}")
        return Reply({**(more or {}), "errcode": code, "errmsg": words})


def _words(said: dict[str, Any]) -> str | None:
    match said.get("msgtype"):
        case "markdown":
            content = said.get("markdown") or {}
            return text_of(content.get("title"), content.get("text"))
        case "text":
            return text_of((said.get("text") or {}).get("content"))
    return None
