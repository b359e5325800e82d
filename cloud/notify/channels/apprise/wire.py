"""Which of Apprise's services may be used, and what its log says of a send; without I/O."""

import re
from collections.abc import Mapping
from typing import Final

from cloud.notify.channel import Result

_BY_US: Final[Mapping[str, str]] = {
    "dingtalk": "dingtalk",
    "wecombot": "wecom",
    "feishu": "feishu",
    "lark": "feishu",
    "json": "webhook",
    "jsons": "webhook",
    "xml": "webhook",
    "xmls": "webhook",
    "form": "webhook",
    "forms": "webhook",
    "mailto": "email",
    "mailtos": "email",
}
"""What we have a channel of our own for, which reads the service's answer and knows its limits."""
_LOCAL: Final = frozenset(
    {"blink1", "dbus", "gio", "glib", "gnome", "growl", "kde", "macosx", "qt", "rsyslog", "syslog", "windows"}
)
_STATUS: Final = re.compile(r"error[=:] ?([1-5]\d\d)\b")


def schema_problem(url: str) -> str:
    """Why an address of Apprise is not taken; empty where it is."""
    schema = url.partition("://")[0].lower() if "://" in url else ""
    if not re.fullmatch(r"[a-z0-9]{1,20}", schema):
        return "the secret is not an address of Apprise: it begins with the service, for example tgram://"
    if schema in _BY_US:
        return f"Apprise does not read what {schema} answers, ours does: use a channel of kind {_BY_US[schema]}"
    if schema in _LOCAL:
        return f"{schema} shows messages on the cloud's own machine, where nobody looks: use a service"
    return ""


def judge(is_sent: bool, log: list[str]) -> Result:
    """What came of a send: Apprise says whether it worked; its log has the HTTP status where there was one.

    Of the log nothing else is taken, for it may hold the address and its keys.
    """
    if is_sent:
        return Result(accepted=True)
    found = [match[1] for line in log if (match := _STATUS.search(line))]
    if not found:
        reason = "Apprise could not send it: see whether the service is reachable, and the address right"
        return Result(accepted=False, reason=reason, code="apprise", again=True, uncertain=True)
    status = int(found[-1])
    again = status in {408, 425, 429} or status >= 500
    what = "takes no more for now" if status == 429 else "has a trouble of its own" if again else "refuses the message"
    return Result(
        accepted=False,
        reason=f"the service behind Apprise {what} (HTTP {status})",
        code=f"HTTP {status}",
        again=again,
        retry_after_s=60.0 if status == 429 else None,
        uncertain=status >= 500,
    )
