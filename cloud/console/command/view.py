"""View of what a person may order of a device, and what became of the last orders."""

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from cloud.console.data import CommandRow, DeviceRow, PointNow
from cloud.console.i18n import N_
from cloud.console.words import Voice
from cloud.console.words.commands import WAITING, Verb, answer, verb
from cloud.console.words.places import place
from cloud.console.words.points import is_normal, is_unreachable, point_name, value_words, vocabulary
from cloud.console.words.reasons import is_known
from cloud.console.words.times import Moment, moment
from contract.kinds import PointType
from contract.messages import CommandStatus, Quality

ANSWER_SHOWN = timedelta(minutes=10)
"""How long the answer to an order stands beside its button."""
OFFLINE = N_(
    "This device is offline: the order will probably fail. Send somebody with the key; only order it if nobody can go."
)
_TONES = {
    CommandStatus.EXECUTED: "done",
    CommandStatus.SENT_NOT_CONFIRMED: "doubt",
    CommandStatus.FAILED: "bad",
    CommandStatus.REFUSED: "bad",
    CommandStatus.EXPIRED: "bad",
}


class Answer(msgspec.Struct, frozen=True):
    """What became of one order. `tone` is wait, done, doubt or bad; `reason` is the box's, where no words fit it."""

    tone: str
    words: str
    reason: str
    verb: str
    by: str
    at: Moment


class Commanded(msgspec.Struct, frozen=True):
    """A device and one thing that can be ordered of it, with the last answer while it is fresh.

    `now` is how it stands, `is_known` whether that can be believed. `warning` comes before the question.
    """

    key: str
    device_id: int
    point: str
    name: str
    place: str
    url: str
    ask_url: str
    send_url: str
    button: str
    question: str
    warning: str
    now: str
    is_known: bool
    answer: Answer | None


def commanded(voice: Voice, device: DeviceRow, orders: Sequence[CommandRow]) -> list[Commanded]:
    """Everything the console offers to order of this device, in the order of the verbs."""
    offered = ((point, verb(device.kind, point)) for point in device.commands)
    return [_offer(voice, device, point, known, orders) for point, known in offered if known]


def answers(voice: Voice, device: DeviceRow, orders: Sequence[CommandRow]) -> tuple[Answer, ...]:
    """The orders of a device with their answers, as given (newest first)."""
    newest: dict[str, str] = {}
    for order in orders:
        newest.setdefault(order.point, order.id)
    return tuple(_answer(voice, device, order, is_newest=newest[order.point] == order.id) for order in orders)


def state_now(voice: Voice, device: DeviceRow) -> tuple[str, bool]:
    """The states worth saying beside a button (门锁 锁闭), and whether they can be believed."""
    unreachable = is_unreachable(device)
    said, is_good = [], True
    for now in device.points:
        known = vocabulary(device.kind, now.point)
        main = known is not None and known.type is PointType.STATE and now.point in {"contact", "lock", "barrier"}
        if main and (now.quality is Quality.GOOD or (unreachable and now.quality is Quality.STALE)):
            said.append(_named(voice, device, now))
            is_good = is_good and now.quality is Quality.GOOD
        elif now.point == "link" and not unreachable and not is_normal(device.kind, now):
            said.append(_named(voice, device, now))
    states = voice.t(", ").join(said)
    if unreachable:
        return voice.t("offline; before that: %(states)s", states=states) if states else voice.t(
            "offline, state unknown"
        ), False
    return (states, is_good) if states else (voice.t("state unknown"), False)


def _named(voice: Voice, device: DeviceRow, now: PointNow) -> str:
    words = value_words(voice, device.kind, now.point, now.value)
    return f"{point_name(voice, device.kind, now.point)} {words}"


def _offer(voice: Voice, device: DeviceRow, point: str, known: Verb, orders: Sequence[CommandRow]) -> Commanded:
    last = next((order for order in orders if order.point == point), None)
    fresh = last is not None and voice.now - last.at < ANSWER_SHOWN
    where = place(voice, device.place)
    now, is_good = state_now(voice, device)
    return Commanded(
        key=f"{device.id}-{point}",
        device_id=device.id,
        point=point,
        name=device.name,
        place=where,
        url=f"/devices/{device.id}",
        ask_url=f"/devices/{device.id}/ask/{point}",
        send_url=f"/devices/{device.id}/commands/{point}",
        button=voice.t(known.button),
        question=voice.t(known.question, name=f"{where} {device.name}"),
        warning=voice.t(OFFLINE) if is_unreachable(device) else "",
        now=now,
        is_known=is_good,
        answer=_answer(voice, device, last, is_newest=True) if last and fresh else None,
    )


def _answer(voice: Voice, device: DeviceRow, order: CommandRow, *, is_newest: bool) -> Answer:
    known = verb(device.kind, order.point)
    return Answer(
        tone="wait" if order.status in WAITING else _TONES[order.status],
        words=answer(voice, device.kind, order, device.points if is_newest else ()),
        reason="" if is_known(order.reason) else order.reason,
        verb=voice.t(known.button) if known else order.point,
        by=order.by,
        at=moment(voice, order.answered_at or order.at),
    )
