"""Views of a box for the guard page's tests and pictures, and a box that remembers what it was asked."""

import msgspec

from edge.zones import ActView, Doubt, GuardView, Happening, Mode, Phase, Refusal, TriggerView, ZoneView

S = 1_000_000_000
NOW = 5000 * S


def trigger(name: str, *, alarm: bool = False, doubt: Doubt = Doubt.NONE, hazard: str = "fire") -> TriggerView:
    return TriggerView(f"id-{name}", name, "3号楼 2单元 7层 走廊", hazard, "b3", alarm, NOW - 42 * S, doubt)


def zone(zone_id: str, name: str, phase: Phase = Phase.QUIET, **changes: object) -> ZoneView:
    made = ZoneView(
        id=zone_id, name=name, phase=phase, since_ns=NOW - 40 * S, is_restored=False, triggers=[], acts=[], mode=None,
        mode_until_ns=0, has_rules=True, may_drill_silently=True, may_release=True, may_silence=True,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


QUIET = GuardView(
    estate="西苑小区", now_ns=NOW, utc_ns=1_795_000_000 * S, timezone="Asia/Shanghai", is_connected=True,
    connected_since_ns=NOW - 4000 * S, is_cut_off=False, alarms=[], doubtful=[],
    zones=[zone("b3-u2", "3号楼2单元"), zone("cellar", "地下水泵房", may_release=False)], happenings=[],
)  # fmt: skip
_FIRE = [trigger("7层烟感", alarm=True), trigger("8层烟感", alarm=True), trigger("9层烟感", doubt=Doubt.OFFLINE)]
FIRE = msgspec.structs.replace(
    QUIET,
    is_connected=False,
    is_cut_off=True,
    connected_since_ns=NOW - 900 * S,
    alarms=_FIRE[:2],
    doubtful=[_FIRE[2], trigger("车库烟感", doubt=Doubt.FAULT)],
    zones=[
        zone("b1-u1", "1号楼1单元", mode=Mode.SILENT_DRILL, mode_until_ns=NOW + 700 * S),
        zone("b2-u1", "2号楼1单元", Phase.ALERT, triggers=[trigger("2层烟感", alarm=True)]),
        zone(
            "b3-u2", "3号楼2单元", Phase.CONFIRMED, triggers=_FIRE,
            acts=[
                ActView("fire", "door-1", "单元门", "release", "executed", 1, "", NOW - 39 * S),
                ActView("fire", "door-2", "后门", "release", "failed", 7, "no connection to 192.0.2.10:502", NOW - S),
                ActView("fire", "gate", "东门车闸", "hold_open", "executed", 2, "", NOW - 38 * S),
                ActView("fire", "siren", "单元声光", "sound", "executed", 1, "", NOW - 39 * S),
            ],
        ),
    ],
    happenings=[
        Happening(NOW - 39 * S, "b3-u2", "door-1", "release", "executed", "", "rule", ""),
        Happening(NOW - 40 * S, "b3-u2", "id-8层烟感", "confirmed", "confirmed", "", "rule", "in alarm: a, b"),
        Happening(NOW - 42 * S, "b3-u2", "id-7层烟感", "alert", "unconfirmed", "", "rule", ""),
    ],
)  # fmt: skip


class Asked:
    """A box that shows one view and remembers what it was asked."""

    def __init__(self, view: GuardView = FIRE) -> None:
        self.shown = view
        self.asked: list[tuple[object, ...]] = []
        self.refusal: Refusal | None = None

    @property
    def estate(self) -> str:
        return self.shown.estate

    def view(self) -> GuardView:
        return self.shown

    def silence(self, zone: str) -> Refusal | None:
        return self._note("silence", zone)

    def reset(self, zone: str) -> Refusal | None:
        return self._note("reset", zone)

    def release(self, zone: str) -> Refusal | None:
        return self._note("release", zone)

    def start(self, zone: str, mode: Mode, minutes: int) -> Refusal | None:
        return self._note("start", zone, mode, minutes)

    def stop(self, zone: str) -> Refusal | None:
        return self._note("stop", zone)

    def _note(self, *what: object) -> Refusal | None:
        self.asked.append(what)
        return self.refusal
