"""The stand-ins of robots: how they count, what they keep, and what they tell who tries them out."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.notify.channels import make_channel, missing_secrets
from cloud.notify.tools import read_tools
from contract.errors import AnjuError
from simulators.robots.cli import configurations, instructions, serve
from simulators.robots.desk import Delivery, Desk, Trouble, Window
from simulators.robots.server import serve_robots
from simulators.robots.smtp import serve_smtp


@given(st.lists(st.floats(0, 30), max_size=80), st.integers(1, 8), st.sampled_from([0.0, 25.0]))
def test_no_span_holds_more_than_the_limit(gaps: list[float], limit: int, blocked_s: float) -> None:
    window, now = Window(limit, 10.0, blocked_s), 0.0
    taken: list[float] = []
    refused_at = float("-inf")
    for gap in gaps:
        now += gap
        if window.take(now):
            assert now >= refused_at + blocked_s
            taken.append(now)
            assert sum(at > now - 10.0 for at in taken) <= limit
        elif now >= refused_at + blocked_s:
            assert sum(at > now - 10.0 for at in taken) == limit, "nobody is refused for nothing"
            refused_at = now


def test_a_trouble_is_over_after_so_many_times() -> None:
    desk = Desk()
    desk.troubles["wecom"] = Trouble(kind="garbage", times=2)
    assert [desk.trouble("wecom") is not None for _ in range(3)] == [True, True, False]
    assert desk.trouble("feishu") is None


def test_the_most_within_a_span_counts_refusals_too() -> None:
    now = 0.0
    desk = Desk(clock=lambda: now)
    for now in (0.0, 1.0, 59.0, 60.0, 61.0):
        desk.accept(Delivery(at=now, service="wecom", text="x"))
    desk.refuse("wecom", "45009")
    desk.refuse("feishu", "11232")
    assert desk.most_within("wecom", 60.0) == 4
    assert desk.most_within("wecom", 1.5) == 3


async def test_what_it_says_is_what_a_cloud_can_use(tmp_path: Path) -> None:
    desk = Desk(log=tmp_path / "log.jsonl")
    async with serve_robots(desk) as robots, serve_smtp(desk) as mail:
        lines = list(instructions(robots, mail))
        environment = dict(word.split("=", 1) for line in lines for word in line.split() if word.startswith("ANJU_"))
        tools = read_tools(environment)
        for kind, config in configurations(robots, mail).items():
            assert any(line.split()[0] == kind and json.loads(line.split(maxsplit=1)[1]) == config for line in lines)
            make_channel(kind, config, tools)
            assert missing_secrets(kind, config, tools) == []


async def test_a_port_that_is_taken_is_said() -> None:
    async with serve_robots(Desk()) as robots:
        port = int(robots.url.rpartition(":")[2])
        with pytest.raises(AnjuError, match="--port"):
            await serve(port, 0, None, print)
