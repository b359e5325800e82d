"""What goes next through a channel: all that waits for it, in one message, as much as fits."""

from collections.abc import Callable, Collection, Mapping, Sequence
from uuid import UUID, uuid4

import msgspec

from cloud.notify.channel import Channel, Language, Message, Recipient
from cloud.notify.links import make_links
from cloud.notify.merge import Item, merge
from cloud.store import Connection, notify, oncall
from cloud.store.alarms import AlarmRow
from cloud.store.notify import QueuedMessage
from cloud.store.oncall import ChannelRow

Describe = Callable[[AlarmRow, Language], tuple[str, tuple[str, ...]]]
"""What an alarm is: a title (place, thing, state) and lines (what it means, what to do)."""

AT_ONCE = 300
"""Lines that are looked at for one message."""
_TOKEN_LENGTH = 32


class Composed(msgspec.Struct, frozen=True):
    """A message that is ready to be sent, and which queued messages are in it."""

    send: UUID
    message: Message
    queued: tuple[QueuedMessage, ...]

    @property
    def about(self) -> list[tuple[str, UUID]]:
        """What it is about, each once."""
        return list(dict.fromkeys((queued.subject, queued.subject_id) for queued in self.queued))

    @property
    def repeat(self) -> bool:
        """Whether any of it may have arrived before."""
        return any(queued.repeat for queued in self.queued)


class Composer:
    """Makes messages of what is queued. `origin` is where this cloud is reached; `roles` may acknowledge by a link."""

    def __init__(self, describe: Describe, origin: str, roles: Collection[str]) -> None:
        self._describe = describe
        self._origin = origin
        self._roles = tuple(roles)

    async def compose(
        self, connection: Connection, row: ChannelRow, channel: Channel, queued: Sequence[QueuedMessage]
    ) -> Composed:
        """As many of these as fit into one message, the worst first, with links where one person alone reads it."""
        people = await oncall.contacts(connection, {entry.person for entry in queued if entry.person is not None})
        reader = people[queued[0].person] if row.personal and queued[0].person in people else None
        language: Language = "en" if ((reader and reader.language) or row.language).startswith("en") else "zh"
        alarms = await notify.alarms(connection, {m.subject_id for m in queued if m.subject == "alarm"})
        items = {(m.subject, m.subject_id): self._item(m, alarms, language) for m in queued}
        send = uuid4()
        sample = "x" * _TOKEN_LENGTH if reader else ""
        linked = {about: self._linked(item, sample) for about, item in items.items()}
        whole = merge(str(send), linked.values(), language, self._origin, repeat=queued[0].repeat)
        fits = {(line.subject, line.id) for line in whole.lines[: channel.room(whole)]}
        used = tuple(m for m in queued if (m.subject, str(m.subject_id)) in fits)
        if reader:
            wanted = {(m.subject_id, reader.id, m.estate) for m in used if m.subject == "alarm"}
            links = await make_links(connection, wanted, self._roles, self._origin)
            items = {about: msgspec.structs.replace(item, url=links.get(about[1], "")) for about, item in items.items()}
        said = [item for (subject, about), item in items.items() if (subject, str(about)) in fits]
        batch = queued[0].batch
        message_id = str(batch) if batch and len(used) == len(queued) else str(send)
        to = [Recipient(name=p.name, email=p.email, mobile=p.mobile) for p in _readers(used, people)]
        repeat = all(m.repeat for m in used)
        return Composed(send, merge(message_id, said, language, self._origin, to, repeat=repeat), used)

    def _item(self, queued: QueuedMessage, alarms: Mapping[UUID, AlarmRow], language: Language) -> Item:
        at = queued.created_at
        if queued.text is not None:
            title, *lines = queued.text[language].split("\n")
        elif alarm := alarms.get(queued.subject_id):
            title, details = self._describe(alarm, language)
            lines, at = list(details), alarm.raised_at
        else:
            title, lines = str(queued.subject_id), []
        return Item(
            subject=queued.subject, id=str(queued.subject_id), priority=queued.priority, title=title,
            lines=tuple(lines), at=at, path=queued.path, drill=queued.drill,
        )  # fmt: skip

    def _linked(self, item: Item, token: str) -> Item:
        return (
            msgspec.structs.replace(item, url=f"{self._origin}/a/{token}")
            if token and item.subject == "alarm"
            else item
        )


def _readers(queued: Sequence[QueuedMessage], people: Mapping[int, oncall.Contact]) -> list[oncall.Contact]:
    """Whom a message is meant for, each once."""
    return [
        people[person] for person in dict.fromkeys(m.person for m in queued) if person is not None and person in people
    ]
