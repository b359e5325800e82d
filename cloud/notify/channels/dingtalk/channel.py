"""The channel: configuration and sending."""

from typing import Final

from cloud.notify.channel import Limits, Message, Result
from cloud.notify.channels.config import Common, Mention, Problem, address_problems, reference_problems
from cloud.notify.channels.dingtalk import wire
from cloud.notify.http import Answer, Request
from cloud.notify.posted import Posted
from cloud.notify.text import fitted, room
from cloud.notify.tools import Tools

MOST_PER_MIN: Final = 18
"""DingTalk takes 20; two are left for what goes out at the edge of a minute and arrives in the next."""


class DingTalkConfig(Common, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A robot of a group."""

    token: str
    """Names the secret that is the access token, or the robot's whole address."""
    secret: str = ""
    """Names the secret for signatures (加签); empty: the robot is secured otherwise."""
    keyword: str = ""
    """The robot's keyword (自定义关键词), where it has one."""
    mention: Mention = "nobody"
    address: str = "https://oapi.dingtalk.com/robot/send"

    def problems(self) -> list[Problem]:
        """What is wrong with it beyond its types."""
        named = {"token": self.token} | ({"secret": self.secret} if self.secret else {})
        keyword = [("keyword is longer than 20 characters", "")] if len(self.keyword) > 20 else []
        return [*super().problems(), *reference_problems(**named), *address_problems(address=self.address), *keyword]

    @property
    def references(self) -> tuple[str, ...]:
        """The secrets that it names."""
        return (self.token, self.secret) if self.secret else (self.token,)


class DingTalk(Posted):
    """A channel, see cloud/notify/channel.py."""

    kind = "dingtalk"

    def __init__(self, config: DingTalkConfig, tools: Tools) -> None:
        rate = config.rate(MOST_PER_MIN)
        super().__init__(Limits(rate_per_min=rate, blocked_s=wire.BLOCKED_S, limit_bytes=wire.MOST_BYTES), tools)
        self._config = config

    def room(self, message: Message) -> int:
        """See Channel."""
        return room(message, self._fits)

    def request(self, message: Message, at: float) -> Request:
        """The request for a message, signed at a Unix time."""
        token = wire.token_of(self._tools.secrets.read(self._config.token))
        secret = self._tools.secrets.read(self._config.secret) if self._config.secret else ""
        return Request(
            url=wire.address(self._config.address, token, secret, at),
            body=self._body(*fitted(message, self._fits)),
            headers={"Content-Type": "application/json; charset=utf-8"},
            secrets=(token, secret),
        )

    def judge(self, answer: Answer) -> Result:
        """What an answer means."""
        return wire.judge(answer)

    def _fits(self, message: Message, left_out: int) -> bool:
        return len(self._body(message, left_out)) <= wire.MOST_BYTES

    def _body(self, message: Message, left_out: int) -> bytes:
        mention = self._config.mention
        mobiles = [to.mobile for to in message.to if to.mobile] if mention == "recipients" else []
        return wire.body(message, left_out, self._config.keyword, mobiles, is_at_all=mention == "all")
