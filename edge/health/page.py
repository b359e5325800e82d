"""The snapshot as one plain page, in Chinese and English, for a person who stands before the box with a phone."""

from collections.abc import Iterable
from datetime import datetime
from html import escape
from zoneinfo import ZoneInfo

from contract.kinds import Lane
from edge.health.chinese import in_both
from edge.health.status import BoxStatus, age_words
from edge.health.zone_lines import quiet_zones, zone_lines

S = 1e9
MB = 1_000_000
"""As those who sell mobile data count."""
MIB = 1 << 20
"""What the site file calls an MB."""
MOST_LINES = 20
_SILENT = in_both("nothing heard yet")
_HELD = (
    "流量将用尽：测量值暂存本机，报警与状态照常发送"
    " · telemetry is kept here until there is room in the data budget; alarms and states go as ever"
)
_STREAMS = {Lane.URGENT: "报警与状态 alarms and states", Lane.BULK: "测量值 measurements"}
_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.25rem; } h2 { font-size: 1rem; margin: 1.5rem 0 .25rem; }
table { border-collapse: collapse; width: 100%; table-layout: fixed; }
th, td { text-align: left; padding: .25rem .75rem .25rem 0; vertical-align: top; border-top: 1px solid #8884; }
th { font-weight: 500; width: 11rem; overflow-wrap: anywhere; } small { opacity: .75; }
.bad::before { content: "⚠ "; } .good::before { content: "✓ "; }
"""


def render_page(box: BoxStatus) -> str:
    """The whole page as HTML."""
    zones = [_section("分区 zones", _zones(box))] if box.zones else []
    parts = [
        *zones,
        _section("云端 cloud", _cloud(box)),
        _section("待发 backlog", _backlog(box)),
        _section("总线 buses", _buses(box)),
        _section("设备 devices", _devices(box)),
        _section("本机 box", _box(box)),
    ]
    title = escape(f"{box.estate} · {box.gateway}")
    return (
        '<!doctype html><html lang="zh"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<meta http-equiv="refresh" content="5"><title>安居 Anju · {title}</title><style>{_STYLE}</style>'
        f"<h1>安居 Anju<br><small>{title} · {escape(box.version)}</small></h1>{''.join(parts)}</html>"
    )


def _section(title: str, rows: Iterable[tuple[str, str]]) -> str:
    body = "".join(f"<tr><th>{escape(name)}</th><td>{html}</td></tr>" for name, html in rows)
    return f"<h2>{escape(title)}</h2><table>{body}</table>"


def _mark(is_good: bool, text: str) -> str:
    return f'<span class="{"good" if is_good else "bad"}">{escape(text)}</span>'


def _cloud(box: BoxStatus) -> Iterable[tuple[str, str]]:
    up, since = box.uplink, age_words(box.now_ns - box.uplink.since_ns)
    words = f"已连接 connected · {since}" if up.connected else f"未连接 not connected · {since}"
    yield box.cloud, _mark(up.connected, words)
    if up.problem:
        yield "原因 reason", escape(in_both(up.problem))
    carried = f"{up.month_bytes / MB:.1f} MB"
    if up.budget_bytes:
        carried += f" / {up.budget_bytes / MB:.0f} MB"
    html = _mark(not up.is_bulk_held, carried)
    if up.is_bulk_held:
        html += f"<br>{escape(_HELD)}"
    yield "本月流量 data this month", html
    if box.utc_ns is None:
        yield "时间 clock", _mark(False, "未知，等待云端 not known yet: the cloud has not told it")
    else:
        here = datetime.fromtimestamp(box.utc_ns / S, ZoneInfo(box.timezone))
        yield "时间 clock", _mark(True, f"{here:%Y-%m-%d %H:%M:%S} {box.timezone}")


def _backlog(box: BoxStatus) -> Iterable[tuple[str, str]]:
    for lane, stream in box.streams.items():
        words = f"{stream.pending_blocks} 块 blocks · {stream.used_bytes / MIB:.1f} / {stream.quota_bytes / MIB:.0f} MB"
        html = _mark(not stream.failing, words)
        if stream.failing:
            html += f"<br>{escape(f'磁盘拒绝写入 the disk refuses: {in_both(stream.failing)}')}"
        if stream.lost_items:
            html += f"<br>{_mark(False, f'已丢弃并上报 given up and declared: {stream.lost_items}')}"
        yield _STREAMS[lane], html


def _buses(box: BoxStatus) -> Iterable[tuple[str, str]]:
    for bus in box.buses:
        last = (
            f"最近应答 last heard {age_words(box.now_ns - bus.last_answer_ns)} 前 ago"
            if bus.last_answer_ns
            else "尚无应答 nothing heard yet"
        )
        open_ = "已连接 connected" if bus.is_heard else "已连接，但无应答 connected, but nothing is heard"
        html = _mark(bus.is_heard, f"{open_ if bus.connected else '未连接 not connected'} · {last}")
        if bus.why and bus.bus not in box.problems:
            html += f"<br>{escape(in_both(bus.why))}"
        if bus.bus in box.problems:
            html += f"<br>{escape(in_both(box.problems[bus.bus]))}"
        if bus.silent_units:
            html += f"<br>{_mark(False, f'{bus.silent_units} 个单元无应答 units are silent')}"
        yield bus.bus, html


def _zones(box: BoxStatus) -> Iterable[tuple[str, str]]:
    for name, lines in zone_lines(box):
        yield name, "<br>".join(_mark(n > 0, f"{zh} · {en}") if n == 0 else escape(f"{zh} · {en}")
                                for n, (zh, en) in enumerate(lines))  # fmt: skip
    if quiet := quiet_zones(box):
        yield "正常 quiet", _mark(True, str(quiet))


def _devices(box: BoxStatus) -> Iterable[tuple[str, str]]:
    yield "在线 online", str(len(box.online))
    why = {error.device: in_both(error.error) for error in reversed(box.errors)}
    if box.offline:
        yield "离线 offline", _each(f"{device}: {why[device]}" if device in why else device for device in box.offline)
    if box.unknown:
        yield "未知 unknown", _each(f"{device}: {why.get(device, _SILENT)}" for device in box.unknown)
    away = {*box.offline, *box.unknown}
    failing = [
        f"{error.device} {error.point}: {in_both(error.error)}" for error in box.errors if error.device not in away
    ]
    if failing:
        yield "读不到 cannot be read", _each(failing)


def _each(lines: Iterable[str]) -> str:
    """What is wrong, a line each, the first of many."""
    said = list(lines)
    html = "<br>".join(_mark(False, line) for line in said[:MOST_LINES])
    more = len(said) - MOST_LINES
    return html + (f"<br>另有 and {more} 个 more" if more > 0 else "")


def _box(box: BoxStatus) -> Iterable[tuple[str, str]]:
    uptime_ns = box.now_ns - box.started_ns
    yield "运行 running", age_words(uptime_ns)
    yield "配置 configuration", _mark(not box.config_problem, box.config)
    if box.config_problem:
        yield "", escape(in_both(box.config_problem))
    if box.config_note:
        yield "", _mark(False, in_both(box.config_note))
    if failed := {name: times for name, times in box.restarts.items() if times}:
        yield "驱动重启 drivers restarted", _each(f"{name}: {times}" for name, times in failed.items())
    if box.written_bytes is None:
        return
    words = f"{box.written_bytes / 1e6:.1f} MB"
    if box.written_day_bytes is not None:
        # What wears a memory card out is bytes a day: a card of 32 GB bears a few TB in its life.
        words += f" · 每天约 about {box.written_day_bytes / 1e6:.0f} MB a day"
        if box.endurance_tb is not None:
            years = box.endurance_tb * 1e12 / max(box.written_day_bytes, 1.0) / 365
            words += f" · 按 {box.endurance_tb:g} TB 可用约 lasts about {min(years, 100):.0f} 年 years"
    yield "存储写入 written to storage", words
