"""What an alarm is, for somebody who was asleep a minute ago: place, thing and state; what it means; what to do."""

from collections.abc import Callable, Mapping
from typing import Protocol
from zoneinfo import ZoneInfo

from cloud.notify.channel import Language
from cloud.notify.compose import Describe
from cloud.store.alarms import AlarmRow
from cloud.words.places import place
from contract.kinds import KINDS, Kind


class RuleText(Protocol):
    """What a rule says, in one language (cloud/alarms/rules/model.py, Text)."""

    @property
    def title(self) -> str:
        """What is wrong, in a few words; {kind} stands for the kind of device."""

    @property
    def meaning(self) -> str:
        """What that means."""

    @property
    def do(self) -> list[str]:
        """What to do first, in order."""


TextOf = Callable[[str, Language], RuleText | None]
"""What a rule says by its name; None for one that is switched off since."""


def describer(text_of: TextOf, kinds: Mapping[str, Kind] = KINDS) -> Describe:
    """Describes alarms by the texts of their rules; `kinds` says what kinds are called."""

    def describe(alarm: AlarmRow, language: Language) -> tuple[str, tuple[str, ...]]:
        text = text_of(alarm.rule, language)
        title = _title(alarm, language, _what(alarm, language, text, kinds))
        if text is None:
            return title, ()
        return title, (text.meaning, *(f"{number}. {step}" for number, step in enumerate(text.do, 1)))

    return describe


def _what(alarm: AlarmRow, language: Language, text: RuleText | None, kinds: Mapping[str, Kind]) -> str:
    known = kinds.get(alarm.kind)
    kind = alarm.kind if known is None else known.zh if language == "zh" else known.en
    return text.title.replace("{kind}", kind) if text else kind or alarm.rule


def _title(alarm: AlarmRow, language: Language, what: str) -> str:
    """Two detectors of one place are told apart by their names; a state is said where it is not plain that it holds."""
    where = place(language, alarm.building, alarm.unit, alarm.floor, alarm.spot)
    clock = f"{alarm.raised_at.astimezone(ZoneInfo(alarm.timezone)):%H:%M}"
    if language == "zh":
        name = f"（{alarm.device_name}）" if alarm.device_name else ""
        over = "，已恢复未确认" if alarm.state == "RTNUN" else ""
        return f"{' '.join(part for part in (alarm.estate, where, what) if part)}{name}，{clock}{over}"
    name = f" ({alarm.device_name})" if alarm.device_name else ""
    over = ", returned, not acknowledged" if alarm.state == "RTNUN" else ""
    return f"{', '.join(part for part in (alarm.estate, where) if part)}: {what}{name}, {clock}{over}"
