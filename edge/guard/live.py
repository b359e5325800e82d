"""What the guard page shows and renews: the way to the cloud, what is in alarm, each zone, what happened. Pure."""

from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo
from html import escape
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from edge.guard import words
from edge.guard.words import Words, known, pair
from edge.zones import ActView, GuardView, Happening, Mode, Phase, TriggerView, ZoneView

S = 1e9
MOST_LINES = 30
_ORDER = {Phase.CONFIRMED: 0, Phase.ALERT: 1, Phase.QUIET: 2}


class Clock:
    """Says times of one view: by the clock on the wall where the time is known, else how long ago it was."""

    def __init__(self, view: GuardView) -> None:
        self.now_ns, self._utc_ns = view.now_ns, view.utc_ns
        self._zone: tzinfo
        try:
            self._zone = ZoneInfo(view.timezone)
        except (ZoneInfoNotFoundError, ValueError):
            self._zone = UTC

    def at(self, mono_ns: int) -> str:
        """A moment; 0 is one before this boot."""
        if not mono_ns:
            return "重启前 before the restart"
        if self._utc_ns is None:
            return f"{self.ago(mono_ns)}前 ago"
        return f"{self._wall(self._utc_ns - self.now_ns + mono_ns):%H:%M:%S}"

    def ago(self, mono_ns: int) -> str:
        """How long ago, in its largest unit, so that it changes seldom."""
        return duration((self.now_ns - mono_ns) / S)

    def now(self) -> str:
        """The time of this view."""
        return "时间未知 time not known" if self._utc_ns is None else f"{self._wall(self._utc_ns):%m-%d %H:%M}"

    def _wall(self, utc_ns: int) -> datetime:
        return datetime.fromtimestamp(utc_ns / S, self._zone)


def duration(seconds: float) -> str:
    """A length of time in its largest unit."""
    s = max(0, int(seconds))
    for size, zh, en in ((86400, "天", "d"), (3600, "小时", "h"), (60, "分钟", "min")):
        if s >= size:
            return f"{s // size} {zh} {en}"
    return "不到 1 分钟 under 1 min"


def say(words_: Words) -> str:
    """Both languages, the English smaller."""
    return f"<span>{pair(*words_)}</span>"


def field(form_token: str) -> str:
    """What makes a form one of ours."""
    return f'<input type="hidden" name="token" value="{escape(form_token)}">'


def live(view: GuardView, form_token: str) -> str:
    """All of it. `form_token` makes its buttons those of the session that sees them."""
    clock = Clock(view)
    zones = sorted(view.zones, key=lambda zone: (_ORDER[zone.phase], not zone.blind_for, zone.mode is None))
    names = {trigger.device: trigger.name for zone in zones for trigger in zone.triggers}
    names |= {act.device: act.name for acts in (view.acts, *(zone.acts for zone in zones)) for act in acts}
    parts = [
        _link(view, clock),
        _alarms(view, clock, form_token),
        *(_zone(zone, clock, form_token) for zone in zones),
        _doubtful(view),
        _past(view.happenings, clock, names),
        _button("/logout", "logout", ("退出", "log out"), form_token, kind="plain"),
    ]
    return f'<div data-title="{escape(title_of(view))} · 安居值班页">{"".join(parts)}</div>'


def title_of(view: GuardView) -> str:
    """What the browser's tab says: never that all is well while something that was confirmed is not reset."""
    if view.alarms:
        return f"● {len(view.alarms)} 报警"
    if _is_confirmed(view):
        return "● 已确认报警"
    return f"▲ {words.BLIND[0]}" if _blind(view) else "正常"


def _is_confirmed(view: GuardView) -> bool:
    return any(zone.phase is Phase.CONFIRMED for zone in view.zones)


def _blind(view: GuardView) -> list[ZoneView]:
    """The zones in which something could not be confirmed, whatever burns."""
    return [zone for zone in view.zones if zone.blind_for]


def _link(view: GuardView, clock: Clock) -> str:
    since = f"{clock.ago(view.connected_since_ns)} · {clock.now()}"
    if view.is_connected:
        return f'<p class="band good">{pair("已连接云平台", "connected to the cloud")} · {since}</p>'
    more = ""
    if view.is_cut_off and view.noise is not None:
        more = f"<br>{say(words.NOISES[view.noise])}"
    return f'<p class="band bad">{pair("与云平台断开", "cut off from the cloud")} · {since}{more}</p>'


def _alarms(view: GuardView, clock: Clock, form_token: str) -> str:
    if not view.alarms and _is_confirmed(view):
        now = pair("现在没有设备报警；已确认的报警尚未复位", "nothing is in alarm now; what was confirmed is not reset")
        return f'<p class="band bad">{now}</p>'
    if not view.alarms and (blind := _blind(view)):
        names = "、".join(zone.name for zone in blind)
        text = pair(f"当前没有报警，但这些分区报不了警：{names}", "nothing is in alarm, but these zones could not tell")
        return f'<p class="band bad">{text}</p>'
    if not view.alarms:
        return f'<p class="band calm">{pair("当前没有报警", "nothing is in alarm")}</p>'
    lines = [
        f"<b>{escape(known(words.HAZARDS, alarm.hazard)[0])}</b> {_named(alarm)} · {clock.at(alarm.since_ns)}"
        f"{_lost(alarm)}{_mute(alarm) if view.is_cut_off else ''}"
        for alarm in sorted(view.alarms, key=lambda alarm: -alarm.since_ns)
    ]
    silence = ""
    if view.is_cut_off and view.acts:
        silence = _list(("就地鸣响", "made heard on the spot"), [_act(act) for act in view.acts])
    if view.is_cut_off and view.acts and view.may_silence:
        what = ("消音（断网声光）", "silence what sounds because it is cut off")
        silence += f'<div class="buttons">{_button("/silence", "silence", what, form_token)}</div>'
    head = f'<section class="card alarm"><h2>{pair(f"报警 {len(lines)}", "in alarm")}</h2>'
    return f"{head}{_items(lines)}{silence}</section>"


def _zone(zone: ZoneView, clock: Clock, form_token: str) -> str:
    is_blind = bool(zone.blind_for) and zone.phase is Phase.QUIET
    state = words.BLIND if is_blind else words.PHASES[zone.phase]
    parts = [f'<h2>{escape(zone.name)} <span class="badge">{pair(*state)}</span></h2>', _sight(zone)]
    if zone.phase is not Phase.QUIET:
        restored = say(("（重启后未再收到）", "not heard since the restart")) if zone.is_restored else ""
        parts.append(f"<p>{clock.at(zone.since_ns)} {restored}</p>")
    if zone.mode is not None:
        left = max(0, int((zone.mode_until_ns - clock.now_ns) / S / 60)) + 1
        rest = pair(f"剩 {left} 分钟", "min left")
        parts.append(f'<p class="band mode">{say(words.MODES[zone.mode])} · {rest}</p>')
    alarmed = [f"{_named(t)} · {clock.at(t.since_ns)}{_lost(t)}" for t in zone.triggers if t.is_alarm]
    doubtful = [f"{_named(t)}：{pair(*words.DOUBTS[t.doubt])}" for t in zone.uncounted]
    parts += [_list(("触发", "triggered"), alarmed), _list(("不计入", "not counted"), doubtful)]
    parts.append(_list(("联动", "done"), [_act(act) for act in zone.acts]))
    parts.append(_buttons(zone, form_token))
    kind = "blind" if is_blind else zone.phase
    return f'<section class="card {kind}" id="zone-{escape(zone.id)}">{"".join(parts)}</section>'


def _sight(zone: ZoneView) -> str:
    """That a zone sees nothing, or less than it should, and what to do about it."""
    if zone.phase is Phase.CONFIRMED or not zone.uncounted:
        return ""
    if not zone.blind_for:
        count, all_ = len(zone.uncounted), len(zone.triggers)
        zh = f"{all_} 个中有 {count} 个不计入：报警可能确认得较晚，请尽快修复"
        part = (zh, f"{count} of {all_} do not count: a fire may be confirmed later; have them seen to")
        return f"<p>⚠ {say(part)}</p>"
    zh = "、".join(known(words.HAZARDS, hazard)[0] for hazard in zone.blind_for)
    en = " or ".join(known(words.HAZARDS, hazard)[1] or hazard for hazard in zone.blind_for)
    told = (
        f"这里的{zh}现在无法确认：请派人巡查该分区，并尽快修复下列设备",
        f"no {en} here would be confirmed: watch this zone by other means, and have these devices seen to",
    )
    return f'<p class="band bad">{say(told)}</p>'


def _act(act: ActView) -> str:
    mark = "good" if act.status in words.DONE else "bad" if act.status in words.WRONG else ""
    tries = f" · {act.tries} 次 tries" if act.tries > 1 else ""
    why = f'<br><small lang="en">{escape(act.why)}</small>' if act.why and act.status not in words.DONE else ""
    status = f'<span class="{mark}">{pair(*known(words.STATUSES, act.status))}</span>'
    return f"{escape(known(words.ACTIONS, act.do)[0])} {escape(act.name)}：{status}{tries}{why}"


def _buttons(zone: ZoneView, form_token: str) -> str:
    where, name = f"/zones/{escape(zone.id)}", escape(zone.id)
    buttons = []
    if zone.may_silence and zone.phase is not Phase.QUIET:
        buttons.append(_button(f"{where}/silence", f"silence-{name}", ("消音", "silence"), form_token))
    if zone.phase is Phase.CONFIRMED:
        buttons.append(_ask(f"{where}/reset", f"reset-{name}", ("复位…", "reset")))
    if zone.may_release:
        buttons.append(_ask(f"{where}/release", f"release-{name}", ("释放门…", "release doors"), kind="danger"))
    if zone.mode is not None:
        buttons.append(_button(f"{where}/stop", f"stop-{name}", ("结束演练", "end the drill"), form_token))
    elif zone.phase is Phase.QUIET and zone.has_rules:
        buttons.append(_ask(f"{where}/drill", f"drill-{name}", ("演练…", "drill")))
    return f'<div class="buttons">{"".join(buttons)}</div>' if buttons else ""


def _button(action: str, name: str, text: Words, form_token: str, kind: str = "") -> str:
    return (
        f'<form method="post" action="{action}">{field(form_token)}<button id="{name}" class="{kind}">{pair(*text)}'
        "</button></form>"
    )


def _ask(href: str, name: str, text: Words, kind: str = "") -> str:
    return f'<a class="button {kind}" id="{name}" href="{href}">{pair(*text)}</a>'


def _lost(trigger: TriggerView) -> str:
    """That it counts although it is gone: what it warned of may have destroyed it."""
    if not trigger.is_lost:
        return ""
    return f" · {pair(f'报警后{words.DOUBTS[trigger.doubt][0]}，仍计入', 'alarmed, then lost: still counts')}"


def _mute(trigger: TriggerView) -> str:
    return f' · <span class="bad">{pair(*words.MUTES[trigger.mute])}</span>' if trigger.mute else ""


def _doubtful(view: GuardView) -> str:
    lines = [f"{_named(trigger)}：{pair(*words.DOUBTS[trigger.doubt])}" for trigger in view.doubtful]
    return _folded("doubtful", (f"不能正常报警的设备 {len(lines)}", "devices that could not alarm"), lines)


def _past(happenings: Iterable[Happening], clock: Clock, names: dict[str, str]) -> str:
    lines = [
        f"{clock.at(h.mono_ns)} {escape(names.get(h.device, h.device))}：{pair(*known(words.ACTIONS, h.action))} · "
        f"{pair(*known(words.STATUSES, h.status))} · {escape(known(words.BY, h.by)[0])}{_mode(h.mode)}"
        for h in happenings
    ]
    return _folded("past", ("记录", "what happened"), lines, most=len(lines))


def _mode(mode: str) -> str:
    return f" · {words.MODES[Mode(mode)][0]}" if mode in set(Mode) else ""


def _named(trigger: TriggerView) -> str:
    return escape(f"{trigger.name} · {trigger.place}" if trigger.place else trigger.name)


def _list(title: Words, lines: list[str]) -> str:
    return f"<h3>{pair(*title)}</h3>{_items(lines)}" if lines else ""


def _folded(name: str, title: Words, lines: list[str], most: int = MOST_LINES) -> str:
    if not lines:
        return ""
    return f'<details id="{name}"><summary>{pair(*title)}</summary>{_items(lines, most)}</details>'


def _items(lines: list[str], most: int = MOST_LINES) -> str:
    """Lines of HTML, the first of many."""
    more = f"<p>另有 and {len(lines) - most} more</p>" if len(lines) > most else ""
    return f"<ul>{''.join(f'<li>{line}</li>' for line in lines[:most])}</ul>{more}"
