"""View of the rules: the list by priority, and one with all that it does."""

from collections.abc import Sequence

import msgspec

from cloud.alarms.rules.model import Rate, Rule, Threshold
from cloud.console.alarms.data import Priority
from cloud.console.rules import words
from cloud.console.rules.data import RuleRow, RuleVersion
from cloud.console.words import Voice
from cloud.console.words.alarms import PRIORITIES, priority_word, text_of
from cloud.console.words.times import Moment, moment


class RuleLine(msgspec.Struct, frozen=True):
    """One rule of the list. `title` is what its alarms are called; {kind} in it is said as any device."""

    name: str
    url: str
    title: str
    looks_at: str
    limited: str
    is_on: bool
    life_safety: bool


class RuleGroup(msgspec.Struct, frozen=True):
    """The rules whose worst alarms have a priority."""

    priority: str
    word: str
    icon: str
    rules: tuple[RuleLine, ...]


class VersionLine(msgspec.Struct, frozen=True):
    """A version in words."""

    n: int
    at: Moment
    what: str
    who: str
    why: str


class RulePage(msgspec.Struct, frozen=True):
    """One rule: what people are told, then what it does, then its versions."""

    line: RuleLine
    priority: str
    meaning: str
    steps: tuple[str, ...]
    who: str
    when: tuple[str, ...]
    where: tuple[str, ...]
    how_bad: str
    waits: tuple[str, ...]
    hours: str
    versions: tuple[VersionLine, ...]
    may_switch: bool


def rule_groups(voice: Voice, rows: Sequence[RuleRow]) -> tuple[RuleGroup, ...]:
    """All rules, the worst first, by title within a priority."""
    found: dict[Priority, list[RuleLine]] = {priority: [] for priority in PRIORITIES}
    for row in rows:
        found[worst(row.rule)].append(_line(voice, row))
    return tuple(
        RuleGroup(
            priority,
            priority_word(voice, priority),
            f"{priority}-outline",
            tuple(sorted(lines, key=lambda line: line.title)),
        )
        for priority, lines in found.items()
        if lines
    )


def rule_page(voice: Voice, row: RuleRow, versions: Sequence[RuleVersion]) -> RulePage:
    """One rule in words."""
    rule, text = row.rule, text_of(voice, row.rule.text)
    where = [words.looks_at(voice, rule)]
    where += [voice.t(", ").join(row.areas)] if row.areas else []
    where += [voice.t(", ").join(row.devices)] if row.devices else []
    if row.except_devices:
        others = voice.t(", ").join(row.except_devices)
        where.append(voice.t.p("rule", "but not: %(others)s", others=others))
    return RulePage(
        line=_line(voice, row),
        priority=worst(rule),
        meaning=_kindless(voice, text.meaning),
        steps=tuple(text.do),
        who=text.who,
        when=words.when(voice, rule),
        where=tuple(where),
        how_bad=words.how_bad(voice, rule),
        waits=words.waits(voice, rule),
        hours=words.hours(voice, rule.when),
        versions=tuple(_version(voice, version) for version in versions),
        may_switch=row.may_switch,
    )


def worst(rule: Rule) -> Priority:
    """The worst priority that its alarms can have."""
    if isinstance(rule.form, Threshold | Rate):
        found = [stage.priority for stage in rule.form.stages]
    else:
        found = [rule.priority, *rule.priorities.values()]
    return min((Priority(one) for one in found), key=PRIORITIES.index)


def _line(voice: Voice, row: RuleRow) -> RuleLine:
    return RuleLine(
        name=row.rule.name,
        url=f"/rules/{row.rule.name}",
        title=_kindless(voice, text_of(voice, row.rule.text).title),
        looks_at=words.looks_at(voice, row.rule),
        limited=voice.t(", ").join(row.areas),
        is_on=row.is_on,
        life_safety=row.rule.life_safety,
    )


def _kindless(voice: Voice, text: str) -> str:
    return text.replace("{kind}", voice.t.p("rule", "device"))


def _version(voice: Voice, version: RuleVersion) -> VersionLine:
    t = voice.t
    if not version.is_on:
        what = t.p("rule", "switched off")
    elif version.who is None:
        what = t.p("rule", "came with the software")
    else:
        what = t.p("rule", "changed, in force")
    return VersionLine(version.version, moment(voice, version.at), what, version.who or t("the system"), version.why)
