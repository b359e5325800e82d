"""A WeCom group robot, written from its documents: https://developer.work.weixin.qq.com/document/path/91770."""

from collections.abc import Mapping
from typing import Any

from simulators.robots.desk import Delivery, Desk, Window
from simulators.robots.reply import Reply, json_of, text_of

SERVICE = "wecom"
MOST_BYTES = {"markdown": 4096, "text": 2048}
PER_MIN = 20
_MORE = (
    "hint: [1700000000000000000000000], from ip: 127.0.0.1, more info at https://open.work.weixin.qq.com/devtool/query"
)


class WeComRobot:
    """One robot of one group."""

    def __init__(self, desk: Desk, key: str) -> None:
        self._desk, self._key = desk, key
        self._window = Window(PER_MIN, 60.0, 60.0)

    def take(self, query: Mapping[str, str], body: bytes, now_s: float) -> Reply:  # noqa: ARG002  # no signatures
        """Answers a request."""
        if query.get("key") != self._key:
            return self._refuse(93000, "invalid webhook url")
        said = json_of(body)
        kind = said.get("msgtype")
        if kind not in MOST_BYTES:
            return self._refuse(40008, "invalid message type")
        content: dict[str, Any] = found if isinstance(found := said.get(kind), dict) else {}
        words = text_of(content.get("content"))
        if words is None:
            return self._refuse(44004, "empty content")
        if len(words.encode()) > MOST_BYTES[kind]:
            problem = f"{kind}.content exceed max length {MOST_BYTES[kind]}. invalid Request Parameter"
            return self._refuse(40058, problem)
        if not self._window.take(self._desk.clock()):
            return self._refuse(45009, "api freq out of limit")
        mentioned = tuple(content.get("mentioned_mobile_list") or ())
        self._desk.accept(Delivery(at=self._desk.clock(), service=SERVICE, text=words, mentioned=mentioned, said=said))
        return Reply({"errcode": 0, "errmsg": "ok"})

    def _refuse(self, code: int, words: str) -> Reply:
        self._desk.refuse(SERVICE, f"{code} {words}")
        said: dict[str, Any] = {"errcode": code, "errmsg": f"{words}, {_MORE}?e={code}"}
        return Reply(said)
