"""What a person is to be told, as the stages that want them say it and as cloud/notify brings it to them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal
from uuid import UUID

import msgspec

from cloud.store.database import Connection

Subject = Literal["alarm", "incident", "mobilisation"]
"""What a notice can be about."""


class Text(msgspec.Struct, frozen=True):
    """A sentence in both languages; the person's own is chosen when it is sent."""

    zh: str
    en: str

    def said(self, language: str) -> str:
        """In one of the languages: 'zh', 'zh_CN', 'en'."""
        return self.zh if language.startswith("zh") else self.en


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One person is to be told one thing, by whichever of their channels takes it."""

    person: int
    subject: Subject
    id: UUID
    """Of the alarm, incident or mobilisation."""
    priority: str
    """critical, high, medium, low: what comes first, and what a storm may gather."""
    estate: int
    step: str
    """Why this person, now: 'dispatched', 'escalated to manager', '2'. The same person is told once a step."""
    text: Text
    """Place and thing, in one line; further lines are details."""
    path: str = ""
    """Where it is shown and answered, on this server: '/incidents/…'. Empty: the alarm's page."""
    drill: bool = False
    """The message says that this is a drill (演练)."""


Tell = Callable[[Connection, Sequence[Notice]], Awaitable[None]]
"""Queues notices in the caller's transaction; they are sent after it has committed, at least once."""

Wanted = Callable[[Connection, Sequence[UUID]], Awaitable[set[UUID]]]
"""Which of these incidents or mobilisations still want somebody. Called in a transaction right before a message about
them leaves: it locks their rows (FOR SHARE), so that who answers waits for these milliseconds, and no message begins
after an answer has committed."""
