"""The channel: configuration and sending."""

from typing import Final

from cloud.notify.channel import Limits, Message, Result
from cloud.notify.channels.config import Common, Mention, Problem, address_problems, reference_problems
from cloud.notify.channels.wecom import wire
from cloud.notify.http import Answer, Request
from cloud.notify.posted import Posted
from cloud.notify.text import fitted, room
from cloud.notify.tools import Tools

MOST_PER_MIN: Final = 18
"""WeCom takes 20; two are left for what goes out at the edge of a minute and arrives in the next."""


class WeComConfig(Common, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A robot of a group."""

    key: str
    """Names the secret that is the robot's key, or its whole address."""
    mention: Mention = "nobody"
    """Who mentions somebody gets messages of half the size, without markup: WeCom knows numbers in those alone."""
    address: str = "https://qyapi.weixin.qq.com/cgi-bin/webhook/send"

    def problems(self) -> list[Problem]:
        """What is wrong with it beyond its types."""
        return [*super().problems(), *reference_problems(key=self.key), *address_problems(address=self.address)]

    @property
    def references(self) -> tuple[str, ...]:
        """The secrets that it names."""
        return (self.key,)


class WeCom(Posted):
    """A channel, see cloud/notify/channel.py."""

    kind = "wecom"

    def __init__(self, config: WeComConfig, tools: Tools) -> None:
        self._is_text = config.mention != "nobody"
        self._most = wire.MOST_TEXT_BYTES if self._is_text else wire.MOST_MARKDOWN_BYTES
        super().__init__(Limits(rate_per_min=config.rate(MOST_PER_MIN), blocked_s=60.0, limit_bytes=self._most), tools)
        self._config = config

    def room(self, message: Message) -> int:
        """See Channel."""
        return room(message, self._fits)

    def request(self, message: Message, at: float) -> Request:  # noqa: ARG002  # WeCom has no signatures
        """The request for a message."""
        key = wire.key_of(self._tools.secrets.read(self._config.key))
        content = self._content(*fitted(message, self._fits))
        if self._is_text:
            is_all = self._config.mention == "all"
            body = wire.text_body(content, ["@all"] if is_all else [to.mobile for to in message.to if to.mobile])
        else:
            body = wire.markdown_body(content)
        return Request(
            url=wire.address(self._config.address, key),
            body=body,
            headers={"Content-Type": "application/json; charset=utf-8"},
            secrets=(key,),
        )

    def judge(self, answer: Answer) -> Result:
        """What an answer means."""
        return wire.judge(answer)

    def _fits(self, message: Message, left_out: int) -> bool:
        return len(self._content(message, left_out).encode()) <= self._most

    def _content(self, message: Message, left_out: int) -> str:
        return wire.text(message, left_out) if self._is_text else wire.markdown(message, left_out)
