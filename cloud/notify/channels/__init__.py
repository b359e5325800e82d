"""All channels: one folder a kind; a channel is made of its kind and its configuration."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from cloud.notify.channel import Channel
from cloud.notify.channels.apprise.channel import Apprise, AppriseConfig
from cloud.notify.channels.config import Common
from cloud.notify.channels.dingtalk.channel import DingTalk, DingTalkConfig
from cloud.notify.channels.email.channel import Email, EmailConfig
from cloud.notify.channels.feishu.channel import Feishu, FeishuConfig
from cloud.notify.channels.webhook.channel import Webhook, WebhookConfig
from cloud.notify.channels.wecom.channel import WeCom, WeComConfig
from cloud.notify.secrets import SecretError
from cloud.notify.tools import Tools
from contract.errors import ConfigError, Mistake


class Kind(msgspec.Struct, frozen=True):
    """How a channel of one kind is configured and made."""

    config: type[Common]
    make: Callable[[Any, Tools], Channel]


CHANNELS: Final[Mapping[str, Kind]] = {
    "apprise": Kind(AppriseConfig, Apprise),
    "dingtalk": Kind(DingTalkConfig, DingTalk),
    "email": Kind(EmailConfig, Email),
    "feishu": Kind(FeishuConfig, Feishu),
    "webhook": Kind(WebhookConfig, Webhook),
    "wecom": Kind(WeComConfig, WeCom),
}


def make_channel(kind: str, config: Mapping[str, Any], tools: Tools) -> Channel:
    """The channel of a configuration as it stands in the database. Raises ConfigError with every mistake in it.

    A secret that is missing is no mistake here: it may be there when a message is sent, whose Result says if it is not.
    """
    read = _read(kind, config)
    return CHANNELS[kind].make(read, tools)


def missing_secrets(kind: str, config: Mapping[str, Any], tools: Tools) -> list[str]:
    """What is wrong with the secrets that a configuration names, for whoever edits it. Raises ConfigError."""
    problems = []
    for reference in _read(kind, config).references:
        try:
            tools.secrets.read(reference)
        except SecretError as e:
            problems.append(str(e))
    return problems


def _read(kind: str, config: Mapping[str, Any]) -> Common:
    file = f"channel of kind {kind}"
    if kind not in CHANNELS:
        raise ConfigError([Mistake(file, 0, "there is no such kind", f"one of {', '.join(CHANNELS)}")])
    try:
        read = msgspec.convert(config, CHANNELS[kind].config)
    except msgspec.ValidationError as e:
        raise ConfigError([Mistake(file, 0, str(e), "see the README beside the channel")]) from e
    if problems := read.problems():
        raise ConfigError([Mistake(file, 0, problem, hint) for problem, hint in problems])
    return read
