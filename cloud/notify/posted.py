"""Channels that are one POST: how an answer, or none, becomes a Result."""

import email.utils
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from cloud.notify.channel import Limits, Message, Result, Start
from cloud.notify.http import Answer, NoAnswerError, Request
from cloud.notify.secrets import SecretError, hide
from cloud.notify.text import clean
from cloud.notify.tools import Tools

_LASTING: Final = frozenset({"address", "private address", "tls"})
"""What a person must mend first."""
_MOST_QUOTED: Final = 200
_MOST_RETRY_S: Final = 3600.0


class Posted(ABC):
    """A channel whose service takes a message as one request."""

    kind: str

    def __init__(self, limits: Limits, tools: Tools) -> None:
        self.limits = limits
        self._tools = tools

    @abstractmethod
    def room(self, message: Message) -> int:
        """See Channel."""

    @abstractmethod
    def request(self, message: Message, at: float) -> Request:
        """The request for a message, at a Unix time in seconds. Raises SecretError."""

    @abstractmethod
    def judge(self, answer: Answer) -> Result:
        """What an answer means."""

    async def send(self, message: Message, start: Start) -> Result:
        """See Channel."""
        try:
            request = self.request(message, self._tools.clock())
        except SecretError as e:
            return Result(accepted=False, reason=str(e), code="secret")
        try:
            answer = await self._tools.http.post(request, start)
        except NoAnswerError as e:
            reason = hide(str(e), request.secrets)
            return Result(accepted=False, reason=reason, code=e.code, again=e.code not in _LASTING, uncertain=e.begun)
        result = self.judge(answer)
        return msgspec.structs.replace(
            result, reason=hide(result.reason, request.secrets), code=hide(result.code, request.secrets)
        )


class Refusal(msgspec.Struct, frozen=True):
    """What a service's code means: what to do, whether trying again helps, and when not before."""

    advice: str
    again: bool = False
    after_s: float | None = None


def by_code(answer: Answer, field: str, message_field: str, refusal_of: Callable[[int, str], Refusal | None]) -> Result:
    """What a robot's answer means: it refuses with HTTP 200 too, and says so in a field of its JSON."""
    said = _json_object(answer.body) if answer.whole else {}
    code = said.get(field)
    if isinstance(code, str) and code.lstrip("-").isdecimal():
        code = int(code[:18])
    if not isinstance(code, int) or isinstance(code, bool):
        return by_status(answer) or Result(
            accepted=False,
            reason=f"the service answered without {field}: is this the robot's address? The message may have arrived",
            code="garbage",
            again=True,
            uncertain=True,
        )
    if code == 0:
        return Result(accepted=True)
    words = said.get(message_field)
    words = words if isinstance(words, str) else ""
    refusal = refusal_of(code, words) or Refusal("see what the service says, and its documents for the code")
    return Result(
        accepted=False,
        reason=f"{refusal.advice} ({field} {code}: {quoted(words)})",
        code=f"{field} {code}",
        again=refusal.again,
        retry_after_s=refusal.after_s,
    )


def by_status(answer: Answer) -> Result | None:
    """What a status means where nothing else is known; None for 2xx."""
    status, code = answer.status, f"HTTP {answer.status}"
    if 200 <= status < 300:
        return None
    after_s = retry_after_s(answer.headers)
    if status == 429:
        reason = "the service takes no more for now (HTTP 429)"
        return Result(accepted=False, reason=reason, code=code, again=True, retry_after_s=after_s)
    if 300 <= status < 400:
        reason = f"the service sends the request elsewhere (HTTP {status}): configure the address that it names"
        return Result(accepted=False, reason=reason, code=code)
    if status >= 500 or status in {408, 425}:
        reason = f"the service has a trouble of its own (HTTP {status})"
        uncertain = status >= 500 and status != 503  # what stands before it may have handed the message on
        return Result(accepted=False, reason=reason, code=code, again=True, retry_after_s=after_s, uncertain=uncertain)
    what = {401: "who asks", 403: "who asks", 404: "the address", 410: "the address", 413: "the size"}
    reason = f"the service refuses {what.get(status, 'the request')} (HTTP {status}): check the configuration"
    return Result(accepted=False, reason=reason, code=code)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """What Retry-After says, as seconds or as a date beside Date, an hour at most; None where it says nothing."""
    said = headers.get("retry-after", "").strip()
    try:
        wait_s = float(said)
    except ValueError:
        try:
            until = email.utils.parsedate_to_datetime(said)
            since = email.utils.parsedate_to_datetime(headers.get("date", ""))
            wait_s = (_aware(until) - _aware(since)).total_seconds()
        except ValueError:
            return None
    return min(max(wait_s, 0.0), _MOST_RETRY_S) if math.isfinite(wait_s) else None


def quoted(words: str) -> str:
    """Some words of a service, fit to be shown."""
    words = " ".join(clean(words).split())
    return words if len(words) <= _MOST_QUOTED else words[:_MOST_QUOTED] + "…"


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
