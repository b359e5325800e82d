"""Whether a rule makes sense: it names what the vocabulary has, and can ever hold and be over. Pure."""

from collections.abc import Iterable, Iterator
from itertools import pairwise

from cloud.alarms.rules.model import (
    RULE_KINDS,
    Count,
    Event,
    Form,
    KOfN,
    Member,
    Rate,
    Rule,
    Silence,
    State,
    Threshold,
)
from contract.config import Problem, is_bad, nearest
from contract.kinds import Kind, Point, PointType

Where = tuple[str | int, ...]
MAX_STAGES = 8
MAX_WINDOW = 4096


def check_rule(rule: Rule) -> list[Problem]:
    """What is wrong with a rule that has the right shape; empty when nothing is."""
    problems: list[Problem] = []
    for field in ("kinds", "except_kinds", "priorities"):
        named = getattr(rule, field)
        for i, kind in enumerate(() if is_bad(named) else named):
            if not is_bad(kind):
                problems += _check_kind(kind, (field, kind if field == "priorities" else i))
    if not problems and not is_bad(rule.form, rule.kinds, rule.except_kinds):
        problems += _check_form(rule)
    if problems or is_bad(rule.form, rule.text, rule.curve, rule.on_delay_s, rule.off_delay_s, rule.kinds):
        return problems
    problems += _check_rest(rule)
    return problems


def _check_kind(kind: str, where: Where) -> Iterator[Problem]:
    if kind not in RULE_KINDS:
        near = nearest(kind, RULE_KINDS)
        hint = f"did you mean {near[0]!r}?" if near else f"one of: {', '.join(sorted(RULE_KINDS))}"
        yield Problem(where, f"kind {kind!r} does not exist", hint)


def _kinds(rule: Rule) -> list[Kind]:
    return [
        kind
        for name, kind in RULE_KINDS.items()
        if (not rule.kinds or name in rule.kinds) and name not in rule.except_kinds
    ]


def _check_form(rule: Rule) -> Iterator[Problem]:
    form: Form = rule.form
    parts = [getattr(form, name) for name in form.__struct_fields__]
    if is_bad(*parts):
        return
    kinds = _kinds(rule)
    here: Where = ("form",)
    match form:
        case State():
            yield from _check_words(form.point, form.words, PointType.STATE, kinds, here)
        case Event():
            yield from _check_fields(form.point, form.fields, kinds, here)
        case Count():
            if form.words:
                yield from _check_words(form.point, form.words, PointType.STATE, kinds, here)
            else:
                yield from _check_fields(form.point, form.fields, kinds, here)
        case Threshold() | Rate():
            yield from _check_numbers(form, kinds, here)
        case Silence():
            if (form.subject == "point") != bool(form.point):
                yield Problem((*here, "point"), "only subject: point names one", "write subject: point, and its point:")
            elif form.point and not any(form.point in kind.points for kind in kinds):
                yield Problem((*here, "point"), f"none of its kinds has a point {form.point!r}")
        case KOfN():
            yield from _check_members(form, here)


def _points(name: str, kinds: Iterable[Kind]) -> list[Point]:
    return [kind.points[name] for kind in kinds if name in kind.points]


def _missing(name: str, kinds: list[Kind], where: Where) -> Problem:
    near = nearest(name, {point for kind in kinds for point in kind.points})
    return Problem(where, f"none of its kinds has a point {name!r}", f"did you mean {near[0]!r}?" if near else "")


def _check_words(name: str, words: list[str], wanted: PointType, kinds: list[Kind], where: Where) -> Iterator[Problem]:
    points = _points(name, kinds)
    if not points:
        yield _missing(name, kinds, (*where, "point"))
        return
    if any(point.type is not wanted for point in points):
        yield Problem((*where, "point"), f"{name!r} is no {wanted}", "see contract/kinds.py for what each point is")
        return
    known = {word.code for point in points for word in point.words}
    for i, word in enumerate(words):
        if not is_bad(word) and word not in known:
            yield Problem((*where, "words", i), f"{name!r} has no word {word!r}", f"one of: {', '.join(sorted(known))}")
    if not words:
        yield Problem((*where, "words"), "no word is an alarm", f"name some of: {', '.join(sorted(known))}")
    for point in points:
        if {word.code for word in point.words} <= set(words):
            yield Problem((*where, "words"), f"every word of {name!r} is an alarm", "leave out the normal one")


def _check_fields(name: str, fields: Iterable[str], kinds: list[Kind], where: Where) -> Iterator[Problem]:
    points = _points(name, kinds)
    if not points:
        yield _missing(name, kinds, (*where, "point"))
        return
    if any(point.type is not PointType.EVENT for point in points):
        yield Problem((*where, "point"), f"{name!r} is no event", "of a state name its words")
        return
    known = {field for point in points for field in point.fields}
    for field in fields:
        if field not in known:
            hint = f"one of: {', '.join(sorted(known))}" if known else "it carries none"
            yield Problem((*where, "fields", field), f"{name!r} carries no {field!r}", hint)


def _check_numbers(form: Threshold | Rate, kinds: list[Kind], where: Where) -> Iterator[Problem]:
    if not form.points:
        yield Problem((*where, "points"), "it looks at no point", "name the telemetry that it judges")
    for i, name in enumerate(form.points):
        points = _points(name, kinds)
        if not points:
            yield _missing(name, kinds, (*where, "points", i))
        elif any(point.type is not PointType.TELEMETRY for point in points):
            yield Problem((*where, "points", i), f"{name!r} is no number", "limits are for telemetry")
    limits = [stage.at for stage in form.stages if not is_bad(stage, stage.at)]
    if not form.stages or len(form.stages) > MAX_STAGES:
        yield Problem((*where, "stages"), f"a rule has 1 to {MAX_STAGES} stages", "name a limit and its priority")
        return
    if len(limits) < len(form.stages):
        return
    is_falling = isinstance(form, Threshold) and form.side == "below"
    if any((b >= a) if is_falling else (b <= a) for a, b in pairwise(limits)):
        yield Problem((*where, "stages"), "the stages are not in order", "write them from the mildest to the worst")
    is_size = isinstance(form, Rate) or form.side == "either"
    if is_size and limits[0] <= 0:
        yield Problem((*where, "stages", 0, "at"), "this limit has to be above 0", "it is how large something is")
    if is_size and form.hysteresis >= limits[0]:
        yield Problem((*where, "hysteresis"), "it would never be over", "make it less than the first stage")


def _check_members(form: KOfN, where: Where) -> Iterator[Problem]:
    if not form.of:
        yield Problem((*where, "of"), "nothing counts", "name kinds with their points")
    for i, member in enumerate(form.of):
        if is_bad(member, member.kind, member.point, member.words):
            continue
        yield from _check_member(member, (*where, "of", i))


def _check_member(member: Member, where: Where) -> Iterator[Problem]:
    kind = RULE_KINDS.get(member.kind)
    if kind is None:
        yield from _check_kind(member.kind, (*where, "kind"))
    elif member.words:
        yield from _check_words(member.point, member.words, PointType.STATE, [kind], where)
    else:
        yield from _check_fields(member.point, (), [kind], where)


def _check_rest(rule: Rule) -> Iterator[Problem]:
    if isinstance(rule.form, Event | Count) and (rule.on_delay_s or rule.off_delay_s):
        yield Problem(("form",), "what happens has no delay", "stands_s or within_s says for how long it counts")
    kinds = [kind for kind in _kinds(rule) if any(rule.looks_at(kind.name, point) for point in kind.points)]
    if rule.curve and not any(p.type is PointType.TELEMETRY for p in _points(rule.curve, kinds)):
        yield Problem(("curve",), f"none of its kinds has a curve {rule.curve!r}", "name one of their telemetry points")
    for language in ("zh", "en"):
        title = getattr(rule.text, language).title
        if not is_bad(title) and set("{}") & set(title.replace("{kind}", "")):
            yield Problem(("text", language, "title"), "holds { or }", "only {kind} is filled in")
