"""Rules from YAML files, checked whole; and the pack that works on the first day."""

import functools
from pathlib import Path

import msgspec

from cloud.alarms.rules.calendars import DEFAULT, load_calendar
from cloud.alarms.rules.check import check_rule
from cloud.alarms.rules.model import Rule
from cloud.alarms.rules.schedule import Calendar
from contract.config import Problem, load_file
from contract.errors import ConfigError, Mistake

PACK = Path(__file__).resolve().parent.parent / "pack"


class Pack(msgspec.Struct, frozen=True):
    """Rules and the calendar of holidays that come with the cloud."""

    rules: tuple[Rule, ...]
    calendar: Calendar


def load_rule(path: Path) -> Rule:
    """The rule in a file. Raises ConfigError with every mistake."""
    loaded = load_file(path, Rule, check=check_rule)
    rule = loaded.value
    if rule.name != path.stem:
        hint = f"call the file {rule.name}.yaml"
        loaded.raise_for([Problem(("name",), f"name {rule.name!r} differs from the file's name", hint)])
    return rule


def load_rules(folder: Path) -> tuple[Rule, ...]:
    """The rules of a folder, by name. Raises ConfigError with every mistake of every file."""
    rules: list[Rule] = []
    mistakes: list[Mistake] = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            rules.append(load_rule(path))
        except ConfigError as e:
            mistakes += e.mistakes
    if mistakes:
        raise ConfigError(mistakes)
    return tuple(rules)


@functools.cache
def pack() -> Pack:
    """The rules that come with the cloud."""
    return Pack(load_rules(PACK), load_calendar(DEFAULT))
