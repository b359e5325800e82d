"""What a person must know of the box's zones, in both languages, for its page and the live view. Pure."""

from collections.abc import Iterator

from edge.health.status import BoxStatus
from edge.zone_words import ACTIONS, BLIND, DOUBTS, HAZARDS, MODES, PHASES, STATUSES, Words, known
from edge.zones import ActView, Phase, TriggerView, ZoneView

MOST_NAMED = 8


def zone_lines(box: BoxStatus) -> Iterator[tuple[str, list[Words]]]:
    """Yields each zone that is not simply quiet, by name and id, with what is to be known, the worst first."""
    order = {Phase.CONFIRMED: 0, Phase.ALERT: 1, Phase.QUIET: 2}
    for zone in sorted(box.zones, key=lambda zone: (order[zone.phase], not zone.blind_for)):
        if lines := [*_phase(zone), *_sight(zone), *_acts(zone)]:
            yield f"{zone.name} ({zone.id})", lines


def quiet_zones(box: BoxStatus) -> int:
    """How many zones are quiet, with every trigger counting."""
    return sum(zone.phase is Phase.QUIET and zone.mode is None and not zone.uncounted for zone in box.zones)


def _phase(zone: ZoneView) -> Iterator[Words]:
    if zone.phase is not Phase.QUIET:
        hazards = [known(HAZARDS, hazard) for hazard in zone.hazards]
        zh, en = PHASES[zone.phase]
        what = "、".join(hazard[0] for hazard in hazards), " or ".join(hazard[1] or hazard[0] for hazard in hazards)
        latched = ("，尚未复位", ", not reset") if zone.phase is Phase.CONFIRMED else ("", "")
        restored = ("，重启后未再收到", ", not heard since the restart") if zone.is_restored else ("", "")
        yield f"{what[0]} {zh}{latched[0]}{restored[0]}", f"{what[1]} {en}{latched[1]}{restored[1]}"
    if alarmed := [trigger for trigger in zone.triggers if trigger.is_alarm]:
        yield f"报警：{_names(alarmed)[0]}", f"in alarm: {_names(alarmed)[1]}"
    if zone.mode is not None:
        yield MODES[zone.mode]


def _sight(zone: ZoneView) -> Iterator[Words]:
    away = zone.uncounted
    if not away:
        return
    zh, en = (
        "；".join(f"{t.name} ({t.device}) {DOUBTS[t.doubt][0]}" for t in away[:MOST_NAMED]),
        "; ".join(f"{t.name} ({t.device}) {DOUBTS[t.doubt][1]}" for t in away[:MOST_NAMED]),
    )
    more = len(away) - MOST_NAMED
    zh, en = (f"{zh} 等", f"{en} and {more} more") if more > 0 else (zh, en)
    if zone.blind_for and zone.phase is not Phase.CONFIRMED:
        hazards = [known(HAZARDS, hazard) for hazard in zone.blind_for]
        what = "、".join(hazard[0] for hazard in hazards), " or ".join(hazard[1] or hazard[0] for hazard in hazards)
        yield (
            f"{BLIND[0]}：{what[0]}现在无法确认，请派人巡查。不计入：{zh}",
            f"{BLIND[1]}: no {what[1]} here would be confirmed; watch it by other means. Not counted: {en}",
        )
        return
    count = f"{len(away)}/{len(zone.triggers)}"
    yield f"{count} 个不计入，报警可能确认得较晚：{zh}", f"{count} do not count, it may be confirmed later: {en}"


def _acts(zone: ZoneView) -> Iterator[Words]:
    if zone.phase is Phase.QUIET:
        return
    for act in zone.acts:
        yield _act(act)


def _act(act: ActView) -> Words:
    zh, en = known(ACTIONS, act.do)
    status_zh, status_en = known(STATUSES, act.status)
    held = ("，保持中", ", held") if act.is_held and act.status == "executed" else ("", "")
    name = f"{act.name} ({act.device})"
    return f"{zh} {name}：{status_zh}{held[0]}", f"{en or zh} {name}: {status_en or status_zh}{held[1]}"


def _names(triggers: list[TriggerView]) -> Words:
    names = [f"{trigger.name} ({trigger.device})" for trigger in triggers[:MOST_NAMED]]
    more = len(triggers) - MOST_NAMED
    return "、".join(names) + (" 等" if more > 0 else ""), ", ".join(names) + (f" and {more} more" if more > 0 else "")
