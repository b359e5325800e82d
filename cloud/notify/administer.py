"""`anju-cloud notify`: puts a file in force, shows what is, and tries a channel."""

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from cloud.notify import bucket, config
from cloud.notify.channel import Channel, Language, Message, Recipient, Result
from cloud.notify.gate import Gate
from cloud.store import Database, notify, oncall, people
from cloud.store.oncall import ChannelRow
from contract.errors import AnjuError

_LASTS_S = 60.0
_TEXT: dict[Language, str] = {
    "zh": "安居测试消息：如果您看到它，此通道可用。无需处理。",
    "en": "A test message of Anju: this channel works. There is nothing to do.",
}


async def put(database: Database, path: Path, check: config.CheckChannel, by: str) -> dict[str, int]:
    """Puts a file in force; returns how many of each it has. Raises ConfigError with every mistake."""
    return await config.put(database, config.load(path, check), by)


async def show(database: Database) -> list[str]:
    """What is in force, as lines. Of addresses and secrets nothing is shown."""
    async with database.connect() as connection:
        channels = await oncall.channels(connection)
        reached = await oncall.reached(connection)
        schedules = await oncall.schedules(connection)
        policies = await oncall.policies(connection)
    lines = []
    for channel in channels:
        paused = (
            f"\tpaused until {channel.paused_until:%H:%M:%S} UTC: {channel.pause_why}" if channel.paused_until else ""
        )
        lines.append(f"channel\t{channel.name}\t{channel.kind}{paused}")
    lines += [f"person\t{person.login}\t{', '.join(person.channels)}" for person in reached]
    lines += [f"schedule\t{name}\t{body.get('zone', 'Asia/Shanghai')}" for name, body in schedules.items()]
    lines += [
        f"policy\t{policy.name}\t{policy.area}\t{' '.join(policy.priorities)}\t{len(policy.steps)} steps"
        for policy in policies
    ]
    return lines or ["Nothing is configured: alarms show in the console alone."]


async def try_channel(
    database: Database, name: str, make: Callable[[ChannelRow], Channel], origin: str, by: str, login: str = ""
) -> Result:
    """One message through a channel, to a person where one is named. It takes its token like any other.

    Raises AnjuError where there is no such channel or person, or the channel is not to be used now.
    """
    async with database.transaction() as connection:
        known = {channel.name: channel for channel in await oncall.channels(connection)}
        if name not in known:
            raise AnjuError(f"there is no channel {name!r}; one of {', '.join(known) or 'none'}")
        person = (await oncall.find_people(connection, [login])).get(login) if login else None
        if login and person is None:
            raise AnjuError(f"there is no person {login!r}; `anju-cloud user list` shows who there is")
        row = await notify.lock_channel(connection, known[name].id)
        if row is None:
            raise AnjuError(f"{name} is being used, or paused ({known[name].pause_why}): try again in a minute")
        channel = make(row)
        ends, now = await notify.recent_sends(connection, row.id)
        if wait_s := bucket.wait_s(ends, now, channel.limits, urgent=True, full=True):
            raise AnjuError(f"{name} has had its messages of this minute: try again in {wait_s:.0f} s")
        contact = (await oncall.contacts(connection, [person])).get(person) if person else None
        send = uuid4()
        await notify.open_send(connection, send, row.id, [], 0, _LASTS_S, repeat=False)
    language: Language = "en" if row.language == "en" else "zh"
    to = (Recipient(name=contact.name, email=contact.email, mobile=contact.mobile),) if contact else ()
    message = Message(id=str(send), title=_TEXT[language], lines=(), url=f"{origin}/alarms", language=language, to=to)
    gate = Gate(database, send, (), {})
    result = await channel.send(message, lambda: gate)
    outcome = "accepted" if result.accepted else "uncertain" if result.uncertain else "refused"
    async with database.transaction() as connection:
        await notify.end_send(connection, send, outcome, result.code, result.reason, again=result.again)
        if result.retry_after_s and not result.accepted:
            await notify.pause(connection, row.id, result.retry_after_s, result.reason)
        detail = {"outcome": outcome, "code": result.code, "person": login}
        await people.audit(connection, None, by, "test channel", f"channel {name}", detail)
    return result
