"""`anju-cloud rule` as an administrator meets it, on a real database."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cloud.alarms.rules.load import PACK, load_rule
from cloud.alarms.rules.stored import sync_pack
from cloud.store import Database as Store
from cloud.store import streams
from cloud.store.streams import StateRow
from contract.kinds import Lane
from tests.contract.conftest import make_estate
from tests.integration.test_cloud_cli import Terminal
from tests.support.blocks import Chain, body, clock, inventory
from tests.support.servers import Database


@pytest.fixture
def run(database_plain: Database) -> Terminal:
    return Terminal(database_plain.url)


def test_a_rule_is_seen_checked_changed_switched_off_and_put_back(run: Terminal, tmp_path: Path) -> None:
    async def take_over_the_pack() -> None:
        async with Store.open(run.environment["DATABASE_URL"], 1) as store, store.transaction() as connection:
            await sync_pack(connection)

    asyncio.run(take_over_the_pack())
    shown = run("rule", "list").splitlines()
    assert len(shown) == len(list(PACK.glob("*.yaml")))
    assert "smoke\tversion 1 (shipped)\tcritical\tstate\tsmoke\t烟感报警" in shown

    file = tmp_path / "smoke.yaml"
    text = "".join(f"{line}\n" for line in run("rule", "show", "smoke").splitlines())
    file.write_text(text.replace("priority: critical", "priority: critical\non_delay_s: 5"), encoding="utf-8")
    assert load_rule(file).on_delay_s == 5
    assert run("rule", "check", str(file)) == "1 in order."
    assert run("rule", "set", str(file), "--why", "a kitchen below") == "Rule smoke is in force, version 2."
    assert "a kitchen below" in run("rule", "show", "smoke")
    assert run("rule", "off", "tamper", "--why", "all false").startswith("Rule tamper is off")
    assert "tamper\tversion 2 (off)" in run("rule", "list")
    assert "tampered" in run("rule", "show", "tamper")
    assert run("rule", "reset", "smoke", "--why", "moved out") == "Rule smoke is as shipped, version 3."
    assert "on_delay_s" not in run("rule", "show", "smoke")

    assert "there is no rule 'smok'" in run("rule", "off", "smok", "--why", "-", fails=True)
    assert "the pack has no rule 'ours'" in run("rule", "reset", "ours", "--why", "-", fails=True)
    file.write_text(text.replace("words: [smoke]", "words: [smoek]"), encoding="utf-8")
    problem = run("rule", "set", str(file), "--why", "-", fails=True)
    assert "smoke.yaml:" in problem
    assert "'smoke' has no word 'smoek'" in problem


def test_a_rule_is_tried_on_what_was(run: Terminal) -> None:
    now = datetime.now(UTC)

    async def fill() -> None:
        async with Store.open(run.environment["DATABASE_URL"], 2) as store:
            estate = await make_estate(store)
            urgent = Chain(Lane.URGENT)
            blocks = body(urgent.urgent(inventory(2), clock(0)))
            await estate.ingest.take(estate.gateway, estate.area, Lane.URGENT, blocks)
            ((series,),) = await estate.rows("SELECT min(id) FROM series WHERE point = 'smoke'")
            said = [(50, "clear"), (40, "smoke"), (37, "clear"), (2, "smoke")]
            async with store.transaction() as connection:
                await streams.put_states(
                    connection, [StateRow(series, now - timedelta(hours=h), value, 0) for h, value in said]
                )

    asyncio.run(fill())
    asked = ("rule", "try", str(PACK / "smoke.yaml"), "--estate", "西苑小区")
    first, second, summary = run(*asked, "--since", "3d").splitlines()
    assert "\tfor 3 h\tcritical\t" in first
    assert "\tstands, for 2 h\tcritical\t" in second
    assert summary.startswith("It would have raised 2 alarms in 3 days, 0.667 a day, at 1 places; most (2) at ")
    assert "stands" in run(*asked, "--since", "90m")  # it burned before, and still does
    assert run(*asked[:2], str(PACK / "leak.yaml"), *asked[3:]) == "It would have raised nothing in 7 days."
    assert "there is no estate '东苑'" in run(*asked[:-1], "东苑", fails=True)
    for since in ("yesterday", "900d", "2099-01-01"):
        assert repr(since) in run(*asked, "--since", since, fails=True)
    assert "no history" in run(*asked[:2], str(PACK / "gateway_silent.yaml"), *asked[3:], fails=True)
