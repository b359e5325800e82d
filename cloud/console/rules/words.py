"""A rule in plain words: when it holds, where it looks, how bad it is, how long it waits."""

from collections.abc import Iterable, Iterator

from cloud.alarms.rules.model import (
    RULE_KINDS,
    Count,
    Event,
    Fields,
    KOfN,
    Rate,
    Rule,
    Schedule,
    Silence,
    Stage,
    State,
    Threshold,
)
from cloud.console.alarms.data import Priority
from cloud.console.i18n import N_
from cloud.console.words import Voice
from cloud.console.words.alarms import priority_word
from cloud.console.words.events import event_words
from cloud.console.words.points import kind_name, number, point_name, unit_of, value_words
from cloud.console.words.times import span

SIDES = {
    "above": N_("%(point)s reaches %(limit)s or more", "rule"),
    "below": N_("%(point)s falls to %(limit)s or less", "rule"),
    "either": N_("%(point)s is off by %(limit)s or more", "rule"),
}
DIRECTIONS = {
    "rises": N_("%(point)s rises by %(limit)s or more within %(time)s", "rule"),
    "falls": N_("%(point)s falls by %(limit)s or more within %(time)s", "rule"),
}
SUBJECTS = {
    "device": N_("The device cannot be reached any more", "rule"),
    "gateway": N_("The gateway cannot be reached any more", "rule"),
    "bus": N_("The whole bus cannot be reached any more", "rule"),
}
PLACES = {"unit": N_("unit", "rule"), "building": N_("building", "rule"), "estate": N_("estate", "rule")}
DAYS = {
    "mon": N_("Monday", "rule"),
    "tue": N_("Tuesday", "rule"),
    "wed": N_("Wednesday", "rule"),
    "thu": N_("Thursday", "rule"),
    "fri": N_("Friday", "rule"),
    "sat": N_("Saturday", "rule"),
    "sun": N_("Sunday", "rule"),
}
DAYS_OFF = {
    "only": N_("on weekends and holidays only", "rule"),
    "never": N_("not on weekends and holidays", "rule"),
}


def when(voice: Voice, rule: Rule) -> tuple[str, ...]:
    """When it is an alarm, a sentence each; stages from the mildest to the worst."""
    t, form = voice.t, rule.form
    match form:
        case State(point=point):
            words = _or(voice, (_value(voice, rule, point, word) for word in form.words))
            return (t.p("rule", "%(point)s is: %(words)s", point=_point(voice, rule, point), words=words),)
        case Event(point=point):
            happened = t.p("rule", "It happens: %(point)s", point=_point(voice, rule, point))
            stands = t.p("rule", "it counts as so for %(time)s afterwards", time=span(voice, form.stands_s))
            return (t(", ").join([happened, *_fields(voice, rule, point, form.fields), stands]),)
        case Threshold():
            return tuple(_stages(voice, rule, SIDES[form.side], form.points, form.stages))
        case Rate():
            return tuple(_stages(voice, rule, DIRECTIONS[form.direction], form.points, form.stages, form.over_s))
        case Count(point=point):
            becomes = [_or(voice, (_value(voice, rule, point, word) for word in form.words))] if form.words else []
            what = " ".join([_point(voice, rule, point), *becomes])
            said = t.p("rule", "%(what)s %(n)s times within %(time)s", what=what, n=form.times,
                       time=span(voice, form.within_s))  # fmt: skip
            return (t(", ").join([said, *_fields(voice, rule, point, form.fields)]),)
        case Silence(subject="point"):
            point = _point(voice, rule, form.point)
            said = t.p("rule", "Nothing is heard of %(point)s for %(n)s times as long as usual", point=point,
                       n=number(form.intervals))  # fmt: skip
            return (said,)
        case Silence():
            return (t.p("rule", SUBJECTS[form.subject]),)
        case KOfN():
            which = _or(voice, (_member(voice, member.kind, member.point, member.words) for member in form.of))
            place = t.p("rule", PLACES[form.within])
            said = t.p("rule", "%(n)s of one %(place)s agree within %(time)s: %(which)s", n=form.k, place=place,
                       time=span(voice, form.within_s), which=which)  # fmt: skip
            return (said,)


def looks_at(voice: Voice, rule: Rule) -> str:
    """The kinds of devices that it looks at."""
    t = voice.t
    if isinstance(rule.form, KOfN):
        return _and(voice, dict.fromkeys(kind_name(voice, member.kind) for member in rule.form.of))
    said = _and(voice, (kind_name(voice, kind) for kind in rule.kinds)) or t.p("rule", "every device that says so")
    if rule.except_kinds:
        others = _and(voice, (kind_name(voice, kind) for kind in rule.except_kinds))
        return t.p("rule", "%(kinds)s, but not: %(others)s", kinds=said, others=others)
    return said


def how_bad(voice: Voice, rule: Rule) -> str:
    """How bad it is; where it depends on the kind, that too."""
    if isinstance(rule.form, Threshold | Rate):
        found = dict.fromkeys(priority_word(voice, Priority(stage.priority)) for stage in rule.form.stages)
        return voice.t(", ").join(found)
    by_priority: dict[str, list[str]] = {}
    for kind, priority in rule.priorities.items():
        if priority != rule.priority:
            by_priority.setdefault(priority, []).append(kind_name(voice, kind))
    base = priority_word(voice, Priority(rule.priority))
    others = [
        voice.t.p("rule", "%(priority)s for: %(kinds)s", priority=priority_word(voice, priority),
                  kinds=_and(voice, by_priority[priority]))
        for priority in Priority
        if priority in by_priority
    ]  # fmt: skip
    return voice.t("; ").join([base, *others])


def waits(voice: Voice, rule: Rule) -> tuple[str, ...]:
    """How long it waits before it raises and before it ends, and by how much a number has to come back."""
    t, said = voice.t, []
    if rule.on_delay_s:
        said.append(t.p("rule", "raised once it has lasted for %(time)s", time=span(voice, rule.on_delay_s)))
    if rule.off_delay_s:
        said.append(t.p("rule", "over once it has been over for %(time)s", time=span(voice, rule.off_delay_s)))
    if isinstance(rule.form, Threshold | Rate) and rule.form.hysteresis:
        back = _amount(rule, rule.form.points[0], rule.form.hysteresis)
        said.append(t.p("rule", "over once it has come back by %(amount)s", amount=back))
    return tuple(said) or (t.p("rule", "at once"),)


def hours(voice: Voice, schedule: Schedule | None) -> str:
    """When it counts."""
    t = voice.t
    if schedule is None:
        return t.p("rule", "always")
    said = []
    if schedule.from_ != schedule.to:
        said.append(t.p("rule", "from %(begin)s to %(end)s", begin=schedule.from_, end=schedule.to))
    if schedule.days:
        said.append(_and(voice, (t.p("rule", DAYS[day]) for day in schedule.days)))
    if schedule.days_off in DAYS_OFF:
        said.append(t.p("rule", DAYS_OFF[schedule.days_off]))
    return t(", ").join(said) or t.p("rule", "always")


def _stages(
    voice: Voice, rule: Rule, sentence: str, points: Iterable[str], stages: Iterable[Stage], over_s: float = 0
) -> Iterator[str]:
    points = list(points)
    named = _or(voice, (_point(voice, rule, point) for point in points))
    for stage in stages:
        values = {"point": named, "limit": _amount(rule, points[0], stage.at)}
        values |= {"time": span(voice, over_s)} if over_s else {}
        worst = priority_word(voice, Priority(stage.priority))
        yield voice.t.p("rule", "%(said)s: %(priority)s", said=voice.t.p("rule", sentence, **values), priority=worst)


def _kind_of(rule: Rule, point: str) -> str:
    """A kind that has the point: all say it alike."""
    kinds = [*rule.kinds, *RULE_KINDS]
    return next((kind for kind in kinds if kind in RULE_KINDS and point in RULE_KINDS[kind].points), "")


def _point(voice: Voice, rule: Rule, point: str) -> str:
    return point_name(voice, _kind_of(rule, point), point)


def _value(voice: Voice, rule: Rule, point: str, word: str) -> str:
    return value_words(voice, _kind_of(rule, point), point, word)


def _amount(rule: Rule, point: str, value: float) -> str:
    return f"{number(value)} {unit_of(_kind_of(rule, point), point)}".rstrip()


def _fields(voice: Voice, rule: Rule, point: str, fields: Fields) -> list[str]:
    return [event_words(voice, _kind_of(rule, point), point, fields)] if fields else []


def _member(voice: Voice, kind: str, point: str, words: Iterable[str]) -> str:
    values = _or(voice, (value_words(voice, kind, point, word) for word in words))
    return " ".join(part for part in (kind_name(voice, kind), point_name(voice, kind, point), values) if part)


def _or(voice: Voice, parts: Iterable[str]) -> str:
    return voice.t.p("rule", " or ").join(parts)


def _and(voice: Voice, parts: Iterable[str]) -> str:
    return voice.t(", ").join(parts)
