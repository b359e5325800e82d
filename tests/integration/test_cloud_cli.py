"""`anju-cloud` as an administrator meets it, on a real database."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from cloud.store import Database as Store
from cloud.store import gateways, people, streams
from contract.kinds import Lane
from tests.support.blocks import Chain
from tests.support.servers import Database

PASSWORD = "a long enough password\n"


class Terminal:
    """Runs the command, and gives back what it printed."""

    def __init__(self, url: str) -> None:
        self.environment = os.environ | {"DATABASE_URL": url, "ANJU_LOG_LEVEL": "ERROR"}

    def __call__(self, *words: str, typed: str = "", fails: bool = False) -> str:
        done = subprocess.run(
            [sys.executable, "-c", "from cloud.cli import main; main()", *words],
            env=self.environment, input=typed, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == (2 if fails else 0), done.stderr
        return (done.stderr if fails else done.stdout).strip()


@pytest.fixture
def run(database_plain: Database) -> Terminal:
    return Terminal(database_plain.url)


def test_people_are_added_shown_disabled_and_given_passwords(run: Terminal) -> None:
    added = run("user", "add", "wang", "--estate", "西苑小区", "--name", "王芳", "--password-stdin", typed=PASSWORD)
    assert added == "wang may log in as operator of 西苑小区."
    again = ("user", "add", "wang", "--estate", "东苑", "--password-stdin")
    assert run(*again, typed=PASSWORD, fails=True) == "there is a person 'wang' already"
    assert run("user", "list") == "wang\t王芳\toperator 西苑小区\tmay log in"
    assert "grid_worker" in run("user", "grant", "wang", "--role", "cleaner", "--area", "西苑小区", fails=True)
    assert "no area '东苑'" in run("user", "grant", "wang", "--role", "manager", "--area", "东苑", fails=True)
    run("user", "grant", "wang", "--role", "grid_worker", "--area", "西苑小区")
    assert run("user", "list") == "wang\t王芳\tgrid_worker 西苑小区, operator 西苑小区\tmay log in"
    assert "may not log in any more" in run("user", "disable", "wang")
    assert run("user", "list") == "wang\t王芳\tgrid_worker 西苑小区, operator 西苑小区\tdisabled"
    assert run("user", "enable", "wang") == "wang may log in again."
    assert "new password" in run("user", "password", "wang", "--password-stdin", typed="another long password\n")
    short = run("user", "password", "wang", "--password-stdin", typed="short\n", fails=True)
    assert short == "the password has 5 characters; take at least 10, and at most 200"
    assert "there is no person 'li'" in run("user", "disable", "li", fails=True)


def test_a_plan_is_imported_listed_shown_and_imported_again_from_what_was_shown(run: Terminal, tmp_path: Path) -> None:
    run("user", "add", "wang", "--estate", "西苑小区", "--password-stdin", typed=PASSWORD)
    plan = tmp_path / "plan.yaml"
    plan.write_text("name: all\ntitle: {zh: 全员, en: Everybody}\ncall: {roles: [operator], people: [wang]}\n", "utf-8")
    brought = run("plan", "import", str(plan), "--estate", "西苑小区")
    assert brought == "Plan all of 西苑小区 is in use, version 1."
    assert run("plan", "list", "--estate", "西苑小区").startswith("all\t1\t全员\toperator, wang\t0 devices\tanju-cloud")
    plan.write_text(run("plan", "show", "all", "--estate", "西苑小区"), "utf-8")
    assert run("plan", "import", str(plan), "--estate", "西苑小区").endswith("version 2.")
    plan.write_text("name: all\ntitle: {zh: 全员, en: Everybody}\ncall: {people: [li]}\ndoors: [7]\n", "utf-8")
    refused = run("plan", "import", str(plan), "--estate", "西苑小区", fails=True)
    assert f"{plan}:3: there is no person 'li'" in refused
    assert f"{plan}:4: the estate has no device 7" in refused
    assert run("plan", "list", "--estate", "东苑", fails=True) == "no estate '东苑'"


def test_a_claim_makes_its_estate(run: Terminal) -> None:
    assert len(run("claim", "--estate", "西苑小区")) == 14
    assert run("history", "--estate", "西苑小区") == ""


def test_a_claim_says_for_what_until_when_and_what_is_next_beside_the_code(run: Terminal) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from cloud.cli import main; main()", "claim", "--estate", "西苑小区"],
        env=run.environment | {"ANJU_PUBLIC_URL": "https://anju.example.org"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    code = done.stdout.strip()
    assert len(code) == 14
    assert "for one box, for estate 西苑小区, until 20" in done.stderr
    assert f"anju enrol --cloud https://anju.example.org --claim {code} --state /var/lib/anju" in done.stderr


def test_a_claim_is_for_an_estate_or_in_the_place_of_a_gateway(run: Terminal) -> None:
    nobody = "6f1c8f0e-0000-4000-8000-000000000001"
    assert "say either --estate, or with --replaces" in run("claim", fails=True)
    assert f"there is no gateway {nobody}" in run("claim", "--replaces", nobody, fails=True)
    assert f"there is no gateway {nobody}" in run("gateway", "replace", nobody, nobody, fails=True)


def test_gateways_and_what_they_said_that_could_not_be_stored(run: Terminal, tmp_path: Path) -> None:
    assert run("gateway", "list") == ""
    gateway = asyncio.run(_with_quarantine(run.environment["DATABASE_URL"]))
    (line,) = run("gateway", "list", "--estate", "西苑小区").splitlines()
    assert line == f"{gateway}\t西苑小区\tbox\t0.1.0\tconnected, 2 blocks in quarantine"
    assert run("gateway", "list", "--estate", "东苑") == ""
    newest, oldest = (line.split("\t") for line in run("quarantine", "list").splitlines())
    assert newest[2:] == ["西苑小区", f"box {gateway}", "bulk 1/2", "9 B", "not a block"]
    shown = run("quarantine", "show", oldest[0], "--output", str(tmp_path / "block"))
    assert "reason\ta record too many" in shown
    assert "number\t1" in shown
    assert "body\t" in shown
    assert (tmp_path / "block").stat().st_size > 50
    assert "body\t9 bytes are too few for a block" in run("quarantine", "show", newest[0])
    refused = run("quarantine", "replay", newest[0], fails=True)
    assert refused.splitlines() == [
        f"{newest[0]}\t9 bytes are too few for a block",
        "what could not be stored stays in quarantine",
    ]
    assert run("quarantine", "drop", newest[0]) == "Dropped 1."
    assert run("quarantine", "replay", oldest[0]) == f"{oldest[0]}\tstored"
    assert run("quarantine", "list") == ""
    assert "stored 20" in run("quarantine", "list", "--replayed")
    assert "not in quarantine: 999" in run("quarantine", "drop", oldest[0], "999", fails=True)
    assert run("quarantine", "list", "--replayed") == ""
    assert "there is no block" in run("quarantine", "show", oldest[0], fails=True)


async def _with_quarantine(url: str) -> UUID:
    chain = Chain(Lane.URGENT)
    async with Store.open(url, 1) as store, store.transaction() as connection:
        area = await people.put_area(connection, None, "estate", "西苑小区", "Asia/Shanghai")
        gateway = await gateways.put_gateway(connection, area, bytes(32), "box", "0.1.0")
        await streams.quarantine(connection, gateway, Lane.URGENT, 1, 1, chain.urgent(), "a record too many")
        await streams.quarantine(connection, gateway, Lane.BULK, 1, 2, b"not ours!", "not a block")
    return gateway


def test_the_figures_of_alarms_are_printed_beside_their_targets(run: Terminal) -> None:
    run("claim", "--estate", "西苑小区")
    table = run("kpi", "--estate", "西苑小区")
    assert "alarms_per_10min_mean" in table
    assert "OUTSIDE" not in table
    figures = msgspec.json.decode(run("kpi", "--since", "2026-11-01", "--json"))["figures"]
    assert {"name": "stale_most", "value": 0, "unit": "alarms at once", "target": "< 5", "inside": True} in figures
    assert "there is no estate '东苑'" in run("kpi", "--estate", "东苑", fails=True)
    assert "is no date" in run("kpi", "--since", "gestern", fails=True)
    assert "earlier --since" in run("kpi", "--since", "2030-01-01", fails=True)


def test_windows_and_drills_are_opened_shown_and_ended(run: Terminal) -> None:
    run("claim", "--estate", "西苑小区")
    opened = ("window", "open", "--estate", "西苑小区", "--hours", "3", "--why", "季度演练", "--drill")
    drill, until = run(*opened, "--building", "3").split("\t")
    assert until.startswith("until ")
    assert "4 hours at most" in run(
        "window", "open", "--estate", "西苑小区", "--hours", "5", "--why", "x", "--drill", fails=True
    )
    assert "no estate" in run("window", "open", "--estate", "东苑", "--hours", "1", "--why", "换线", fails=True)
    number, kind, *_, where, who, why = run("window", "list").split("\t")
    assert (number, kind, where, who, why) == (drill, "drill", "building 3", "anju-cloud", "季度演练")
    assert run("window", "end", drill) == f"{drill} is over."
    assert run("window", "list") == ""
    assert "over already" in run("window", "end", drill, fails=True)
