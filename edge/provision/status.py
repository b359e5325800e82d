"""`anju status`: how the box is, as a live view in a terminal, in Chinese or English by the locale."""

import os
import re
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from http.client import HTTPException
from typing import Final
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener
from zoneinfo import ZoneInfo

import msgspec
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from contract.errors import AnjuError
from contract.kinds import Lane
from edge.counts import BusCounts
from edge.health.chinese import in_chinese
from edge.health.status import BoxStatus, age_words
from edge.health.zone_lines import quiet_zones, zone_lines

REFRESH_S: Final = 1.0
TIMEOUT_S: Final = 3.0
MAX_BYTES: Final = 16 << 20
MOST_LINES: Final = 12
_NS: Final = 1e9
_MIB: Final = 1 << 20
"""What the site file calls an MB."""

_ZH: Final = {
    "cloud": "云端", "connected": "已连接", "not connected": "未连接", "connected, nothing heard": "已连接，无应答",
    "zones": "分区", "quiet": "正常", "clock": "时间", "not known yet": "未知", "running for": "已运行",
    "configuration": "配置", "as written": "与文件一致", "backlog": "待发", "urgent": "报警与状态", "bulk": "测量值",
    "blocks": "块", "lost": "丢弃", "bus": "总线", "state": "状态", "polls": "轮询", "failed": "失败",
    "silent": "无应答", "answer": "应答", "last heard": "最近应答", "devices": "设备", "online": "在线",
    "offline": "离线", "unknown": "未知", "cannot be read": "读不到", "ago": "前", "and more": "另有",
    "disk refuses": "磁盘拒绝写入", "restarts": "重启",
    "Ctrl-C ends this view, not the box": "Ctrl-C 只退出此视图，不影响本机运行",
}  # fmt: skip


_UNITS_ZH: Final = {"d": "天", "h": "小时", "min": "分", "s": "秒"}


class Words:
    """Says a label in the person's language."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        names = (environment.get(name, "") for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
        self._is_zh = next((name for name in names if name), "").lower().startswith("zh")

    def __call__(self, label: str) -> str:
        """The label as the person says it."""
        return _ZH.get(label, label) if self._is_zh else label

    def of(self, both: tuple[str, str]) -> str:
        """What is said in both languages, in the person's."""
        return both[0] if self._is_zh else both[1] or both[0]

    def age(self, ns: float) -> str:
        """A duration as the person says it."""
        said = age_words(ns)
        return re.sub(r"[a-z]+", lambda unit: _UNITS_ZH[unit[0]], said) if self._is_zh else said

    def why(self, said: str) -> str:
        """A reason as the person says it, as far as it is known in Chinese; without what could steer the terminal."""
        return _said(in_chinese(said) if self._is_zh else said)


def fetch_status(listen: str) -> tuple[bytes, BoxStatus]:
    """What the box at `host:port` says of itself, as it came and decoded. Raises AnjuError."""
    url = f"http://{listen}/status.json"
    try:
        # Asked directly: a proxy that the environment names for the world knows nothing of this box.
        with build_opener(ProxyHandler({})).open(url, timeout=TIMEOUT_S) as answer:  # http alone, written above
            body = answer.read(MAX_BYTES)
        return body, msgspec.json.decode(body, type=BoxStatus)
    except (URLError, HTTPException, OSError, ValueError) as e:
        raise AnjuError(
            f"no box answers at {listen} ({getattr(e, 'reason', e)}).\n"
            "    Is it running? systemctl status anju-edge. Another address? --listen HOST:PORT (ANJU_HEALTH_LISTEN)."
        ) from e


def watch_status(listen: str, console: Console, words: Words) -> None:
    """Shows how the box is until Ctrl-C; a box that does not answer for a while is said and waited for."""
    _, box = fetch_status(listen)
    hint = Text(f"\n{words('Ctrl-C ends this view, not the box')}", "dim")
    with Live(
        Group(render_status(box, words), hint), console=console, auto_refresh=False, screen=console.is_terminal
    ) as live:
        while True:
            time.sleep(REFRESH_S)
            try:
                _, box = fetch_status(listen)
                live.update(Group(render_status(box, words), hint), refresh=True)
            except AnjuError as e:
                live.update(Group(render_status(box, words), Text(str(e), "bold red")), refresh=True)


def render_status(box: BoxStatus, words: Words) -> RenderableType:
    """The view of one moment."""
    gap = Text("")
    zones = [_zones(box, words), gap] if box.zones else []
    return Group(
        _head(box, words), gap, *zones, _streams(box, words), gap, _buses(box, words), gap, _devices(box, words)
    )  # fmt: skip


def _said(text: str) -> str:
    """What others say (a device, a broker, a server), without what could steer the terminal."""
    return "".join(char if char.isprintable() or char == "\n" else "�" for char in text)


def _warning(text: str) -> Text:
    return Text(f"⚠ {_said(text)}", "bold red")


def _plain(text: str) -> Text:
    """Words as they are: square brackets in them are no markup."""
    return Text(_said(text))


def _head(box: BoxStatus, words: Words) -> RenderableType:
    lines = Table.grid(padding=(0, 2))
    up, since = box.uplink, words.age(box.now_ns - box.uplink.since_ns)
    state = Text(f"✓ {words('connected')} {since}", "green") if up.connected else Text(
        f"⚠ {words('not connected')} {since} {words.why(up.problem)}", "bold red")  # fmt: skip
    lines.add_row(Text("安居 Anju", "bold"), _plain(f"{box.estate} · {box.gateway} · {box.version}"))
    lines.add_row(words("cloud"), Text.assemble(_plain(f"{box.cloud}  "), state))
    known = box.utc_ns is not None
    here = datetime.fromtimestamp((box.utc_ns or 0) / _NS, ZoneInfo(box.timezone))
    clock = f"{here:%Y-%m-%d %H:%M:%S} {box.timezone}" if known else Text(f"⚠ {words('not known yet')}", "bold red")
    lines.add_row(words("clock"), clock)
    lines.add_row(words("running for"), words.age(box.now_ns - box.started_ns))
    said = _warning(words.why(box.config_problem)) if box.config_problem else Text(words("as written"), "green")
    lines.add_row(words("configuration"), Text.assemble(f"{box.config}  ", said))
    if box.config_note:
        lines.add_row("", _warning(words.why(box.config_note)))
    return lines


def _streams(box: BoxStatus, words: Words) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), title_justify="left", title=words("backlog"))
    table.add_column()
    for label in (words("blocks"), "MB", words("lost")):
        table.add_column(label, justify="right")
    table.add_column()
    for lane in Lane:
        stream = box.streams[lane]
        problem = _warning(f"{words('disk refuses')}: {stream.failing}") if stream.failing else Text("")
        size = f"{stream.used_bytes / _MIB:.1f} / {stream.quota_bytes / _MIB:.0f}"
        table.add_row(words(lane.value), str(stream.pending_blocks), size, str(stream.lost_items), problem)
    return table


def _zones(box: BoxStatus, words: Words) -> RenderableType:
    """What a person must know of zones, before all else: what is confirmed, held, or could not be confirmed."""
    quiet = quiet_zones(box)
    text = Text.assemble((f"{words('zones')}  ", "bold"), (f"✓ {words('quiet')} {quiet}" if quiet else "", "green"))
    parts: list[RenderableType] = [text]
    for name, lines in zone_lines(box):
        said = [_said(words.of(line)) for line in lines]
        parts.append(Text.assemble(f"  {_said(name)}  ", (f"⚠ {said[0]}", "bold red")))
        parts += [Text(f"    {line}") for line in said[1:]]
    return Group(*parts)


def _buses(box: BoxStatus, words: Words) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), title_justify="left", title=words("bus"))
    for label in ("bus", "state"):
        table.add_column(words(label), overflow="fold")
    for label in ("polls", "failed", "silent", "answer", "last heard", "restarts"):
        table.add_column(words(label), justify="right", no_wrap=True)
    for bus in box.buses:
        word = "connected, nothing heard" if bus.connected else "not connected"
        state = Text(f"✓ {words('connected')}", "green") if bus.is_heard else Text(f"⚠ {words(word)}", "bold red")
        table.add_row(bus.bus, state, str(bus.polls), str(bus.failures), str(bus.silent_units or ""), _answer(bus),
                      words.age(box.now_ns - bus.last_answer_ns) if bus.last_answer_ns else "–",
                      str(box.restarts.get(bus.bus) or ""))  # fmt: skip
    problems = {bus.bus: bus.why for bus in box.buses if bus.why} | dict(box.problems)
    if not problems:
        return table
    said = [_warning(f"{name}: {words.why(problem)}") for name, problem in problems.items()]
    return Group(table, *said)


def _answer(bus: BusCounts) -> str:
    return f"{1000 * bus.latency_sum_s / bus.answers:.0f} ms" if bus.answers else "–"


def _devices(box: BoxStatus, words: Words) -> RenderableType:
    why = dict.fromkeys(box.unknown, "nothing heard yet")
    why |= {error.device: error.error for error in reversed(box.errors)}
    text = Text.assemble((f"{words('devices')}  ", "bold"), (f"✓ {words('online')} {len(box.online)}", "green"))
    for label, names in (("offline", box.offline), ("unknown", box.unknown)):
        if names:
            text.append(f"  ⚠ {words(label)} {len(names)}", "bold red")
    away = [*box.offline, *box.unknown]
    parts: list[RenderableType] = [text, _reasons(
        (_named(box, name), words.why(why.get(name, ""))) for name in away[:MOST_LINES])]  # fmt: skip
    others = [error for error in box.errors if error.device not in set(away)]
    if others:
        parts.append(Text(f"⚠ {words('cannot be read')} {len(others)}", "bold red"))
        parts.append(_reasons((f"{_named(box, e.device)} {e.point}", words.why(e.error)) for e in others[:MOST_LINES]))
    more = max(0, len(away) - MOST_LINES) + max(0, len(others) - MOST_LINES)
    if more:
        parts.append(Text(f"  {words('and more')} {more}"))
    return Group(*parts)


def _named(box: BoxStatus, device: str) -> str:
    name = box.names.get(device)
    return f"{device} {_said(name)}" if name else device


def _reasons(lines: Iterable[tuple[str, str]]) -> Table:
    """What is not right and why, a row each; a long reason goes on beneath itself."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, why in lines:
        table.add_row(Text(f"  {name}"), Text(why))
    return table
