"""One gateway's page, and blocks that could not be stored: what they say, who may do what."""

import msgspec
import pytest

from cloud.console.data import Gateway, Readable, SessionState
from cloud.console.gateway.view import gateway_page
from cloud.console.live.hub import Hub
from cloud.console.quarantine.view import aside_list, aside_page
from cloud.console.words.boxes import loss_words
from cloud.console.words.sizes import span
from tests.support.console_preview import GW, READABLE, FakeEstate
from tests.unit.cloud.console.http import HTMX, browser, get, post, token
from tests.unit.cloud.console.test_words import EN, NOW, ZH


def box(n: int) -> Gateway:
    return FakeEstate(Hub(), NOW).boxes[GW[n]]


def test_a_gateway_that_is_well_says_so_by_saying_nothing():
    page = gateway_page(ZH, box(0))
    assert page.troubles == ()
    assert {fact.tone for fact in (*page.clock, *page.link, *page.disk, *page.box)} == {""}
    assert [fact.value for fact in page.disk] == ["24.6 GB / 共 31.9 GB", "210 MB", "20 年以上"]
    assert [chain.why for chain in page.chains] == ["首次", "首次"]


def test_what_is_wrong_with_a_gateway_is_said_the_worst_first():
    page = gateway_page(EN, box(1))
    assert [trouble.key for trouble in page.troubles] == [
        "shared",
        "disk",
        "held",
        "bus rs485-b",
        "wear",
        "lost",
        "aside",
    ]
    assert page.troubles[0].title == "Two gateways speak as this one"
    assert page.troubles[-1].title == "2 blocks could not be stored"
    assert page.troubles[-1].url == f"/quarantine?gateway={GW[1]}"
    assert [fact.value for fact in page.clock] == ["from the cloud", "0.021 s", "7 min fast"]
    assert page.link[0].value == "291 MB of 300 MB (97 %)"
    assert [loss.what for loss in page.losses] == ["Measurements: 18220 entries", "Measurements: nobody knows how much"]
    assert (page.unseen, page.losses[1].seen) == (9, "seen by 李强")
    assert page.chains[0].why.startswith("a new one, since its disk was wiped")


def test_a_gateway_that_was_told_of_another_may_have_been_restored():
    report = msgspec.structs.replace(box(0).report, is_identity_shared=True)
    page = gateway_page(EN, msgspec.structs.replace(box(0), report=report))
    assert [trouble.title for trouble in page.troubles] == ["Perhaps two gateways speak as this one"]


def test_a_silent_and_a_revoked_gateway_say_what_that_means():
    assert [trouble.key for trouble in gateway_page(ZH, box(2)).troubles] == ["silent"]
    row = msgspec.structs.replace(box(2).row, session=SessionState.REVOKED)
    (trouble,) = gateway_page(EN, msgspec.structs.replace(box(2), row=row, replaced_by=GW[0])).troubles
    assert (trouble.url, trouble.link) == (f"/gateways/{GW[0]}", "To the gateway that took its place")
    assert gateway_page(ZH, box(3)).troubles == ()


def test_a_disk_that_takes_nothing_comes_before_one_that_is_full():
    report = msgspec.structs.replace(box(0).report, is_in_memory=True, disk_free_bytes=0)
    page = gateway_page(ZH, msgspec.structs.replace(box(0), report=report))
    assert [trouble.key for trouble in page.troubles] == ["memory"]


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("storage was full", "所分配的空间已满，最旧的被丢弃"),
        ("older than 30 days", "超过 30 天，最旧的被丢弃"),
        ("bulk.db was damaged, moved aside as bulk.db.damaged-1", "文件损坏，已移到 bulk.db.damaged-1"),
        ("a sentence that nobody has translated", "a sentence that nobody has translated"),
    ],
)
def test_why_something_was_given_up(reason, words):
    assert loss_words(ZH, reason) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.021, "0.021 s"), (-3, "3 s"), (119, "119 s"), (412, "7 min"), (7200, "2 h"), (86400 * 12, "12 days"),
     (86400 * 365 * 9, "9 years")],
)  # fmt: skip
def test_a_span_is_said_in_one_unit(seconds, words):
    assert span(EN, seconds) == words


def test_a_block_that_could_not_be_stored_shows_what_can_be_read_of_it():
    estate = FakeEstate(Hub(), NOW)
    page = aside_page(EN, estate.aside[7], READABLE)
    assert {fact.name: fact.value for fact in page.facts}["Chain and number"] == "3 / 1204"
    nothing = aside_page(EN, estate.aside[5], Readable(problem="not a block (magic)"))
    assert (nothing.facts, nothing.problem) == ((), "not a block (magic)")
    assert aside_list(EN, list(estate.aside.values()), 5, None).more == "and 3 older ones"


# Over HTTP -----------------------------------------------------------------------------------------------------------


async def test_losses_are_marked_as_seen_by_who_may_acknowledge(console):
    path = f"/gateways/{GW[1]}"
    async with browser(console, "auditor") as session:
        page = await get(session, path)
        assert "全部标为已看" not in page.text
        assert (await post(session, f"{path}/losses/seen", await token(session), data={"last": "9"})).status == 403
    async with browser(console) as session:
        assert "全部标为已看" in (await get(session, path)).text
        assert (await post(session, f"{path}/losses/seen", data={"last": "9"})).status == 403  # no token
        csrf = await token(session)
        assert (await post(session, f"{path}/losses/seen", csrf, data={"last": "0"})).status == 422
        seen = await post(session, f"{path}/losses/seen", csrf, data={"last": "9"}, headers=HTMX)
        assert seen.status == 204
        assert "anju:gateways" in seen.headers["HX-Trigger"]
        page = await get(session, path)
        assert "王敏 已看" in page.text
        assert "全部标为已看" not in page.text
        assert (await post(session, "/gateways/nobody/losses/seen", csrf, data={"last": "9"})).status == 422
        unknown = "/gateways/6f1c8f0e-0000-4000-8000-0000000000ff"
        assert (await get(session, unknown)).status == 404
        assert (await post(session, f"{unknown}/losses/seen", csrf, data={"last": "9"})).status == 404


async def test_only_who_manages_decides_about_blocks_that_could_not_be_stored(console):
    async with browser(console) as session:
        page = await get(session, "/quarantine/7")
        assert "能读出的内容" in page.text
        assert "再次入库" not in page.text
        csrf = await token(session)
        assert (await get(session, "/quarantine/7/drop")).status == 403
        for what in ("replay", "drop"):
            assert (await post(session, f"/quarantine/7/{what}", csrf)).status == 403
    async with browser(console, "manager") as session:
        csrf = await token(session)
        for what in ("replay", "drop"):
            assert (await post(session, f"/quarantine/7/{what}")).status == 403  # no token
            assert (await post(session, f"/quarantine/99/{what}", csrf)).status == 404
        refused = await post(session, "/quarantine/5/replay", csrf)
        assert "仍未成功：there is no inventory 7。数据仍保留在此。" in refused.text
        stored = await post(session, "/quarantine/7/replay", csrf)
        assert "已入库：数据已归位。" in stored.text
        assert "再次入库</button>" not in stored.text
        assert "永久丢弃这块数据？" in (await get(session, "/quarantine/5/drop")).text
        assert (await post(session, "/quarantine/5/drop", csrf)).headers["Location"] == "/quarantine"
        assert (await get(session, "/quarantine/5")).status == 404


@pytest.mark.parametrize("path", ["/quarantine/0", f"/quarantine/{1 << 63}", "/quarantine/x", "/quarantine?gateway=x"])
async def test_an_address_that_names_no_block_is_a_page_that_is_not_here(console, path):
    async with browser(console) as session:
        assert (await get(session, path)).status == 404
