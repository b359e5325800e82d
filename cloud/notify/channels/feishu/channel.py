"""The channel: configuration and sending."""

import re
from typing import Final

from cloud.notify.channel import Limits, Message, Result
from cloud.notify.channels.config import Common, Problem, address_problems, reference_problems
from cloud.notify.channels.feishu import wire
from cloud.notify.http import Answer, Request
from cloud.notify.posted import Posted
from cloud.notify.text import fitted, room
from cloud.notify.tools import Tools

MOST_PER_MIN: Final = 90
MOST_PER_S: Final = 4
"""Feishu takes 100 and 5; some are left for what goes out at the edge of a minute and arrives in the next."""


class FeishuConfig(Common, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bot of a group."""

    token: str
    """Names the secret that is the last part of the bot's address, or the whole of it."""
    secret: str = ""
    """Names the secret for signatures (签名校验); empty: the bot is secured otherwise."""
    keyword: str = ""
    """The bot's keyword, where it has one."""
    mention: tuple[str, ...] = ()
    """Whom to mention: open_ids of members, or `all`. A bot cannot find anybody by their mobile number."""
    address: str = "https://open.feishu.cn/open-apis/bot/v2/hook"

    def problems(self) -> list[Problem]:
        """What is wrong with it beyond its types."""
        named = {"token": self.token} | ({"secret": self.secret} if self.secret else {})
        problems = [*super().problems(), *reference_problems(**named), *address_problems(address=self.address)]
        if len(self.keyword) > 20:
            problems.append(("keyword is longer than 20 characters", ""))
        if len(self.mention) > 20 or not all(re.fullmatch(r"all|[\w-]{1,64}", who) for who in self.mention):
            problems.append(("mention is not a list of 20 open_ids at most", "for example ou_xxx, or all"))
        return problems

    @property
    def references(self) -> tuple[str, ...]:
        """The secrets that it names."""
        return (self.token, self.secret) if self.secret else (self.token,)


class Feishu(Posted):
    """A channel, see cloud/notify/channel.py."""

    kind = "feishu"

    def __init__(self, config: FeishuConfig, tools: Tools) -> None:
        limits = Limits(
            rate_per_min=config.rate(MOST_PER_MIN), rate_per_s=MOST_PER_S, blocked_s=60.0, limit_bytes=wire.MOST_BYTES
        )
        super().__init__(limits, tools)
        self._config = config

    def room(self, message: Message) -> int:
        """See Channel."""
        return room(message, self._fits)

    def request(self, message: Message, at: float) -> Request:
        """The request for a message, signed at a Unix time."""
        token = wire.token_of(self._tools.secrets.read(self._config.token))
        secret = self._tools.secrets.read(self._config.secret) if self._config.secret else ""
        return Request(
            url=wire.address(self._config.address, token),
            body=self._body(*fitted(message, self._fits), secret, at),
            headers={"Content-Type": "application/json; charset=utf-8"},
            secrets=(token, secret),
        )

    def judge(self, answer: Answer) -> Result:
        """What an answer means."""
        return wire.judge(answer)

    def _fits(self, message: Message, left_out: int) -> bool:
        return len(self._body(message, left_out, "x" * bool(self._config.secret), 0.0)) + 10 <= wire.MOST_BYTES

    def _body(self, message: Message, left_out: int, secret: str, at: float) -> bytes:
        return wire.body(message, left_out, self._config.keyword, self._config.mention, secret, at)
