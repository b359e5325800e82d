"""The cloud as boxes and browsers meet it: the real application, over HTTP, on a real database."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from uuid import UUID, uuid4

import aiohttp
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount

from cloud.identity import passwords
from cloud.ingest.allowance import RATES, Rate
from contract.block import MAX_BLOCK_BYTES
from contract.kinds import Lane
from contract.messages import CommandResult, CommandStatus
from contract.session import (
    CHALLENGE_PATH,
    DOWN_PATH,
    ENROL_PATH,
    MAX_REQUEST_BYTES,
    SESSION_PATH,
    ChallengeReply,
    ChallengeRequest,
    Cursor,
    blocks_path,
    join_blocks,
)
from tests.support.blocks import SECOND, Chain, clock, inventory, smoke
from tests.support.browser import Browser
from tests.support.cloud import Answer, Box, RunningCloud, running_cloud
from tests.support.servers import Database
from tests.unit.cloud.ingest.test_checks import BAD as BAD_RECORDS

AT = 1000 * SECOND


@pytest.fixture
async def cloud(database_plain: Database) -> AsyncIterator[RunningCloud]:
    async with running_cloud(database_plain.url) as running:
        yield running


@pytest.fixture
async def box(cloud: RunningCloud) -> Box:
    """A box in a session."""
    box = await cloud.enrolled_box()
    await box.open_session()
    return box


def urgent_chain() -> Chain:
    chain = Chain(Lane.URGENT)
    chain.urgent(inventory(), clock(time.time_ns()))
    return chain


def is_problem(answer: Answer, status: int) -> dict:
    """An answer in the form of RFC 9457; returns its fields."""
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"
    said = answer.json()
    assert said.keys() == {"type", "status", "title", "detail"}
    assert said["status"] == status
    assert said["title"]
    return said


def waits_s(answer: Answer) -> int:
    return int(answer.headers["Retry-After"])


# Enrolment -----------------------------------------------------------------------------------------------------------


async def test_a_claim_enrols_one_box(cloud: RunningCloud) -> None:
    area = await cloud.area()
    claim = await cloud.claim(area)
    box = await cloud.enrolled_box(area)
    assert UUID(box.gateway)
    first, second = cloud.box(), cloud.box()
    assert (await first.enrol(claim)).status == 200
    assert first.estate == area
    assert first.gateway != box.gateway
    assert "used already" in is_problem(await second.enrol(claim), 403)["detail"]
    known = first.gateway
    assert (await first.enrol(claim)).status == 200  # it did not hear the answer, and asks again
    assert first.gateway == known
    assert ("enrol", f"gateway {first.gateway}") in await cloud.rows("SELECT action, who FROM audit")
    assert claim not in str(await cloud.rows("SELECT * FROM claim"))  # kept as a hash


async def test_a_claim_may_be_typed_as_people_type(cloud: RunningCloud) -> None:
    claim = await cloud.claim()
    assert (await cloud.box().enrol(f"  {claim.lower().replace('-', ' ')} ")).status == 200


async def test_an_expired_claim_says_so(cloud: RunningCloud) -> None:
    claim = await cloud.claim()
    await cloud.rows("UPDATE claim SET expires_at = now() - INTERVAL '1 second'")
    assert "expired" in is_problem(await cloud.box().enrol(claim), 403)["detail"]


async def test_two_boxes_at_once_cannot_share_a_claim(cloud: RunningCloud) -> None:
    claim = await cloud.claim()
    answers = await asyncio.gather(*(cloud.box().enrol(claim) for _ in range(4)))
    assert sorted(answer.status for answer in answers) == [200, 403, 403, 403]


async def test_guessing_claims_ends_soon(cloud: RunningCloud) -> None:
    claim = await cloud.claim()
    for _ in range(10):
        assert "not known" in is_problem(await cloud.box().enrol("AAAA-BBBB-CCCC"), 403)["detail"]
    answer = await cloud.box().enrol(claim)
    is_problem(answer, 429)
    assert 900 <= waits_s(answer) <= 1350
    await cloud.rows("UPDATE enrol_failure SET at = at - INTERVAL '15 minutes'")
    assert (await cloud.box().enrol(claim)).status == 200


async def test_enrolment_that_makes_no_sense_is_refused(cloud: RunningCloud) -> None:
    claim = await cloud.claim()
    assert "Ed25519" in is_problem(await cloud.box().enrol(claim, public_key=b"short"), 403)["detail"]
    for path in (ENROL_PATH, CHALLENGE_PATH, SESSION_PATH):
        for body in (b"", b"{", b"[]", b'{"claim": 5}', b"\xff\xfe"):
            is_problem(await cloud.post(path, body), 400)
        is_problem(await cloud.post(path, b" " * 20_000), 413)
    odd = await cloud.box().enrol(claim, hostname="a\x00b" * 200, version="\x00")
    assert odd.status == 200
    assert await cloud.rows("SELECT length(hostname) <= 100, version FROM gateway") == [(True, "")]


# Sessions ------------------------------------------------------------------------------------------------------------


async def test_a_session_gives_token_time_and_cursors(cloud: RunningCloud) -> None:
    box = await cloud.enrolled_box()
    before = time.time_ns()
    reply = await box.open_session()
    assert before <= reply.time_ns <= time.time_ns()
    assert reply.expires_s == 900
    assert reply.urgent == reply.bulk == Cursor(0, 0, 0)
    chain = urgent_chain()
    taken = await box.post(Lane.URGENT, *chain.sent)
    assert taken.cursor == Cursor(chain.epoch, 1, chain.previous)
    again = await box.open_session()
    assert (again.urgent, again.bulk) == (taken.cursor, Cursor(0, 0, 0))
    assert box.token not in str(await cloud.rows("SELECT * FROM gateway_session"))  # kept as a hash


async def test_only_the_right_signature_opens_a_session(cloud: RunningCloud) -> None:
    box, thief = await cloud.enrolled_box(), await cloud.enrolled_box()
    refusals = []
    own = box.key
    box.key = Ed25519PrivateKey.generate()
    refusals.append(await box.try_session(await box.challenge()))
    box.key = own
    refusals.append(await box.try_session(await box.challenge(), "https://another.example"))
    refusals.append(await box.try_session(bytes(32)))  # a nonce that nobody gave
    thief.gateway, nonce = box.gateway, await thief.challenge()
    refusals.append(await box.try_session(nonce[:-1]))
    refusals.append(await thief.try_session(await box.challenge()))
    for answer in refusals:
        is_problem(answer, 401)
    assert (await box.try_session(await box.challenge())).status == 200


async def test_a_nonce_is_good_once_and_for_a_minute_and_for_one_box(cloud: RunningCloud) -> None:
    box, other = await cloud.enrolled_box(), await cloud.enrolled_box()
    nonce = await box.challenge()
    assert (await box.try_session(nonce)).status == 200
    is_problem(await box.try_session(nonce), 401)
    nonce = await box.challenge()
    await cloud.rows("UPDATE gateway_nonce SET expires_at = expires_at - INTERVAL '1 minute'")
    is_problem(await box.try_session(nonce), 401)
    is_problem(await box.try_session(await other.challenge()), 401)
    nonce = await box.challenge()
    box.key, own = Ed25519PrivateKey.generate(), box.key
    is_problem(await box.try_session(nonce), 401)  # a wrong try takes the nonce, too
    box.key = own
    is_problem(await box.try_session(nonce), 401)


async def test_nobody_learns_which_boxes_there_are(cloud: RunningCloud) -> None:
    known, unknown, revoked = await cloud.enrolled_box(), cloud.box(), await cloud.enrolled_box()
    unknown.gateway = str(uuid4())
    await cloud.cloud.gateways.revoke(UUID(revoked.gateway), "test")
    known.key = Ed25519PrivateKey.generate()
    answers = []
    for box in (known, unknown, revoked):
        nonce = await box.challenge()
        assert len(nonce) == 32
        answer = await box.try_session(nonce)
        said = is_problem(answer, 401)
        answers.append((said, {name for name in answer.headers if name != "Date"}))
    assert answers[0] == answers[1] == answers[2]


async def test_boxes_may_know_the_cloud_by_a_second_address(database_plain: Database) -> None:
    async with running_cloud(database_plain.url, box_url="https://boxes.example.org:8443") as cloud:
        box = await cloud.enrolled_box()
        for audience, status in ((cloud.url, 200), ("https://boxes.example.org:8443", 200), ("https://x.org", 401)):
            assert (await box.try_session(await box.challenge(), audience)).status == status


@pytest.mark.parametrize("gateway", ["", "box", "\x00", "x" * 1000])
async def test_an_id_that_is_none_is_refused(cloud: RunningCloud, gateway: str) -> None:
    body = msgspec.json.encode(ChallengeRequest(gateway))
    is_problem(await cloud.post(CHALLENGE_PATH, body), 401)


async def test_a_token_ends(cloud: RunningCloud, box: Box) -> None:
    chain = urgent_chain()
    await box.post(Lane.URGENT, *chain.sent)
    async with box.down() as down:
        assert await down.line() == b""
        await cloud.rows("UPDATE gateway_session SET expires_at = now()")
        is_problem(await box.try_post(Lane.URGENT, *chain.sent), 401)
        is_problem(await cloud.get(DOWN_PATH, box.headers), 401)
        while (line := await down.line()) is not None:  # it ends at the next heartbeat
            assert line == b""
    await box.open_session()
    assert (await box.post(Lane.URGENT, *chain.sent)).cursor.number == 1


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Bearer x", "Basic eDp5", "bearer", "Bearer \xe9"])
async def test_without_a_token_nothing_is_taken_or_told(cloud: RunningCloud, header: str) -> None:
    headers = {"Authorization": header} if header else {}
    is_problem(await cloud.get(DOWN_PATH, headers), 401)
    for stream in Lane:
        is_problem(await cloud.post(blocks_path(stream), join_blocks(urgent_chain().sent), headers), 401)


async def test_revoking_ends_session_stream_and_blocks_at_once(database_plain: Database) -> None:
    """Decision 11. Heartbeats are far apart here, so the stream ends by the revocation, whichever process holds it."""
    async with (
        running_cloud(database_plain.url, heartbeat_s=60) as cloud,
        running_cloud(database_plain.url, public_url=cloud.url) as another,
    ):
        box = await cloud.enrolled_box()
        await box.open_session()
        chain = urgent_chain()
        await box.post(Lane.URGENT, *chain.sent)
        async with box.down() as down:
            assert await down.line() == b""
            began = time.monotonic()
            assert await another.cloud.gateways.revoke(UUID(box.gateway), "test")
            assert await down.line() is None
            assert time.monotonic() - began < 1
        chain.urgent(smoke("smoke", AT))
        is_problem(await box.try_post(Lane.URGENT, *chain.sent), 401)
        is_problem(await cloud.get(DOWN_PATH, box.headers), 401)
        is_problem(await box.try_session(await box.challenge()), 401)
        assert not await another.cloud.gateways.revoke(UUID(box.gateway), "test")
        assert await cloud.rows("SELECT count(*) FROM states") == [(0,)]


# Blocks --------------------------------------------------------------------------------------------------------------


async def test_blocks_are_taken_and_repeats_acknowledged(cloud: RunningCloud, box: Box) -> None:
    chain = urgent_chain()
    chain.urgent(smoke("smoke", AT))
    for _ in range(2):
        reply = await box.post(Lane.URGENT, *chain.sent)
        assert (reply.cursor, reply.quarantined) == (Cursor(chain.epoch, 2, chain.previous), 0)
    assert await cloud.rows("SELECT state FROM alarm") == [("UNACK",)]


async def test_a_gap_is_answered_with_where_the_cloud_stands(cloud: RunningCloud, box: Box) -> None:
    chain = urgent_chain()
    chain.urgent(smoke("clear", AT))
    chain.urgent(smoke("smoke", AT))
    await box.post(Lane.URGENT, chain.sent[0])
    answer = await box.try_post(Lane.URGENT, chain.sent[2])
    assert answer.status == 409
    said = answer.json()
    assert (said["reason"], said["cursor"]["number"]) == ("gap", 1)


async def test_two_requests_of_one_box_at_once_count_once(cloud: RunningCloud, box: Box) -> None:
    chain = urgent_chain()
    chain.urgent(smoke("smoke", AT))
    answers = await asyncio.gather(*(box.try_post(Lane.URGENT, *chain.sent) for _ in range(6)))
    assert {answer.status for answer in answers} <= {200, 503}  # told to come again while the first is being stored
    assert (await box.post(Lane.URGENT, *chain.sent)).cursor.number == 2
    assert await cloud.rows("SELECT count(*) FROM states") == [(1,)]


async def test_no_record_can_hold_up_its_stream(cloud: RunningCloud, box: Box) -> None:
    """Each record that the database could not keep is set aside with its block, and what comes after is taken."""
    chain = urgent_chain()
    for record, _ in BAD_RECORDS:
        chain.urgent(record, smoke("clear", AT + len(chain.sent)))
    chain.urgent(smoke("smoke", AT + SECOND))
    reply = await box.post(Lane.URGENT, *chain.sent)
    assert (reply.cursor.number, reply.quarantined) == (len(chain.sent), len(BAD_RECORDS))
    assert await cloud.rows("SELECT state FROM alarm") == [("UNACK",)]
    reasons = [reason for (reason,) in await cloud.rows("SELECT reason FROM quarantine ORDER BY id")]
    assert len(reasons) == len(BAD_RECORDS)
    assert all(said in reason for reason, (_, said) in zip(reasons, BAD_RECORDS, strict=True))
    assert await cloud.rows("SELECT count(*) FROM states") == [(len(BAD_RECORDS) + 1,)]  # the rest of their blocks


@pytest.mark.parametrize(
    "body",
    [b"", b"\x01", b"\xff\xff\xff\xff", b"\x05\x00\x00\x00abc", join_blocks([b"no block"]), b"x" * 1000],
    ids=["empty", "half-a-length", "four-gigabytes", "over-the-end", "no-block", "noise"],
)
async def test_bytes_that_are_no_blocks_are_refused(cloud: RunningCloud, box: Box, body: bytes) -> None:
    for stream in Lane:
        is_problem(await cloud.post(blocks_path(stream), body, box.headers), 400)
    assert await cloud.rows("SELECT sum(number) FROM stream_cursor") in ([(None,)], [(0,)])


async def test_damage_and_the_wrong_stream_are_refused(cloud: RunningCloud, box: Box) -> None:
    (block,) = urgent_chain().sent
    damaged = bytearray(block)
    damaged[100] ^= 1
    assert "checksum" in is_problem(await box.try_post(Lane.URGENT, bytes(damaged)), 400)["detail"]
    assert "was sent to bulk" in is_problem(await box.try_post(Lane.BULK, block), 400)["detail"]


async def raw(cloud: RunningCloud, head: str, *body: bytes) -> tuple[bytes, int]:
    """Sends a request by hand until it is answered; the answer's first line, and how many parts were sent by then."""
    host, _, port = cloud.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(head.replace("\n", "\r\n").encode() + b"\r\n")
        answer = asyncio.ensure_future(reader.readline())
        sent = 0
        for part in body:
            if answer.done():
                break
            writer.write(part)
            await writer.drain()
            sent += 1
            await asyncio.sleep(0)
        return await asyncio.wait_for(answer, 10), sent
    finally:
        writer.close()


async def test_a_body_over_the_limit_is_refused_before_it_is_read(cloud: RunningCloud, box: Box) -> None:
    head = f"POST {blocks_path(Lane.BULK)} HTTP/1.1\nHost: x\nAuthorization: Bearer {box.token}\n"
    line, _ = await raw(cloud, f"{head}Content-Length: {MAX_REQUEST_BYTES + 1}\n")
    assert b" 413 " in line
    part = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    line, sent = await raw(cloud, f"{head}Transfer-Encoding: chunked\n", *[part] * 1000)
    assert b" 413 " in line
    assert MAX_REQUEST_BYTES // 0x10000 <= sent < 1000
    is_problem(await cloud.post(blocks_path(Lane.BULK), bytes(MAX_REQUEST_BYTES + 1), box.headers), 413)
    is_problem(await cloud.post(blocks_path(Lane.BULK), bytes(MAX_REQUEST_BYTES), box.headers), 400)
    assert MAX_BLOCK_BYTES < MAX_REQUEST_BYTES


async def test_a_box_that_sends_more_than_any_has_to_say_waits_as_long_as_it_is_told(
    database_plain: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RATES, Lane.URGENT, Rate(items=1, items_per_s=0.01, bytes=1e9, bytes_per_s=1e9))
    async with running_cloud(database_plain.url) as cloud:
        box, other = await cloud.enrolled_box(), await cloud.enrolled_box()
        await box.open_session()
        await other.open_session()
        chain = urgent_chain()
        await box.post(Lane.URGENT, *chain.sent)  # two records
        answer = await box.try_post(Lane.URGENT, chain.urgent(smoke("smoke", AT)))
        assert "sent more than" in is_problem(answer, 503)["detail"]
        assert 90 < waits_s(answer) <= 150  # a second record is a hundred seconds, spread by half
        await other.post(Lane.URGENT, *urgent_chain().sent)


async def test_a_token_writes_the_blocks_of_its_own_box_only(cloud: RunningCloud) -> None:
    mine, other = await cloud.enrolled_box(), await cloud.enrolled_box(await cloud.area("东苑"))
    await mine.open_session()
    await other.open_session()
    theirs = urgent_chain()
    theirs.urgent(smoke("clear", AT))
    await other.post(Lane.URGENT, *theirs.sent)
    theirs.urgent(smoke("smoke", AT + SECOND))
    # Nothing in a block or request names a box but the token, so another's blocks become one's own or are refused.
    answer = await mine.try_post(Lane.URGENT, theirs.sent[2])
    assert (answer.status, answer.json()["reason"]) == (409, "gap")
    await mine.post(Lane.URGENT, *theirs.sent)
    assert await cloud.rows("SELECT gateway, number FROM stream_cursor ORDER BY number") == [
        (UUID(other.gateway), 2),
        (UUID(mine.gateway), 3),
    ]
    assert await cloud.rows("SELECT DISTINCT estate FROM alarm") == [(mine.estate,)]


async def test_a_result_of_another_box_answers_nothing(cloud: RunningCloud, box: Box) -> None:
    await cloud.person()
    other = await cloud.enrolled_box()
    await other.open_session()
    mine, theirs = urgent_chain(), urgent_chain()
    await box.post(Lane.URGENT, *mine.sent)
    order = await cloud.order(box)
    theirs.urgent(CommandResult(str(order), CommandStatus.EXECUTED, "", AT))
    await other.post(Lane.URGENT, *theirs.sent)
    assert await cloud.rows("SELECT status FROM command") == [("queued",)]
    mine.urgent(CommandResult(str(order), CommandStatus.EXECUTED, "", AT))
    await box.post(Lane.URGENT, *mine.sent)
    assert await cloud.rows("SELECT status FROM command") == [("executed",)]


async def test_without_a_database_boxes_are_told_to_come_back(fresh_plain_server) -> None:
    server = fresh_plain_server()
    async with running_cloud(server.url) as cloud:
        box = await cloud.enrolled_box()
        await box.open_session()
        chain = urgent_chain()
        assert (await cloud.get("/readyz")).status == 200
        async with box.down() as down:
            assert await down.line() == b""
            server.kill()
            for answer in (
                await box.try_post(Lane.URGENT, *chain.sent),
                await cloud.get(DOWN_PATH, box.headers),
                await cloud.box().enrol("AAAA-BBBB-CCCC"),
                await cloud.post(CHALLENGE_PATH, msgspec.json.encode(ChallengeRequest(box.gateway))),
                await box.try_session(bytes(32)),
            ):
                is_problem(answer, 503)
                assert 2 <= waits_s(answer) <= 3
            assert (await cloud.get("/readyz")).status == 503
            assert (await cloud.get("/healthz")).status == 200
            assert await down.line() == b""  # the box is not cut off for it
            server.start()
            assert (await box.post(Lane.URGENT, *chain.sent)).cursor.number == 1
            assert (await cloud.get("/readyz")).status == 200
            await cloud.person()
            async with asyncio.timeout(10):  # the wake-ups come back too, or the next heartbeat brings it
                order = await cloud.order(box)
                assert (await down.command()).id == str(order)


# Commands down -------------------------------------------------------------------------------------------------------


async def test_an_order_is_down_within_a_second_and_heartbeats_go_on(database_plain: Database) -> None:
    async with running_cloud(database_plain.url, heartbeat_s=60) as cloud:
        await cloud.person()
        box = await cloud.enrolled_box()
        await box.open_session()
        await box.post(Lane.URGENT, *urgent_chain().sent)
        async with box.down() as down:
            assert await down.line() == b""  # at once, so that the box knows it is connected
            for seconds in (5, 6):
                began = time.monotonic()
                order = await cloud.order(box, seconds=seconds)
                command = await down.command()
                assert time.monotonic() - began < 1
                assert (command.id, command.device, command.point) == (str(order), "door-0", "unlock")
                assert command.args == {"seconds": seconds}
                assert 20e9 < command.not_after_ns - time.time_ns() <= 30e9
        assert await cloud.rows("SELECT status, sent_at IS NOT NULL FROM command") == [("sent", True)] * 2


async def test_heartbeats_come_as_often_as_said(cloud: RunningCloud, box: Box) -> None:
    async with box.down() as down:
        began = time.monotonic()
        assert [await down.line() for _ in range(4)] == [b""] * 4
        assert 0.5 < time.monotonic() - began < 2


async def test_what_was_sent_and_not_answered_is_sent_again_on_a_new_connection(cloud: RunningCloud, box: Box) -> None:
    await cloud.person()
    chain = urgent_chain()
    await box.post(Lane.URGENT, *chain.sent)
    first = await cloud.order(box)
    async with box.down() as down:
        assert (await down.command()).id == str(first)
    async with box.down() as down:
        assert (await down.command()).id == str(first)
        assert await down.line() == b""  # once a connection
        chain.urgent(CommandResult(str(first), CommandStatus.EXECUTED, "", AT))
        await box.post(Lane.URGENT, *chain.sent)
    late = await cloud.order(box)
    await cloud.rows("UPDATE command SET not_after = now() WHERE id = $1", late)
    async with box.down() as down:
        assert [await down.line() for _ in range(3)] == [b""] * 3  # answered, and too late: neither is sent


async def test_a_newer_connection_takes_over(cloud: RunningCloud, box: Box) -> None:
    await cloud.person()
    await box.post(Lane.URGENT, *urgent_chain().sent)
    async with box.down() as old:
        assert await old.line() == b""
        async with box.down() as new:
            assert await new.line() == b""
            order = await cloud.order(box)
            assert (await new.command()).id == str(order)
            while (line := await old.line()) is not None:
                assert line == b""


async def test_an_order_in_one_process_reaches_a_box_at_another(database_plain: Database) -> None:
    async with (
        running_cloud(database_plain.url, heartbeat_s=60) as first,
        running_cloud(database_plain.url, heartbeat_s=60, public_url=first.url) as second,
    ):
        await first.person()
        box = await first.enrolled_box()
        await box.open_session()
        await box.post(Lane.URGENT, *urgent_chain().sent)
        async with box.down() as down:
            assert await down.line() == b""
            began = time.monotonic()
            order = await second.order(box)
            assert (await down.command()).id == str(order)
            assert time.monotonic() - began < 1


async def test_the_server_stops_though_streams_are_open(database_plain: Database) -> None:
    async with running_cloud(database_plain.url, heartbeat_s=60) as cloud:
        box = await cloud.enrolled_box()
        await box.open_session()
        stream = box.down()
        down = await stream.__aenter__()
        assert await down.line() == b""
        began = time.monotonic()
        cloud.cloud.close_streams()
        assert await down.line() is None
        await stream.__aexit__(None, None, None)
    assert time.monotonic() - began < 3


# People --------------------------------------------------------------------------------------------------------------


async def test_a_person_logs_in_and_out(cloud: RunningCloud) -> None:
    await cloud.person()
    browser = Browser(cloud)
    answer = await browser.log_in()
    assert (answer.status, answer.headers["Location"]) == (303, "/alarms")
    (cookie,) = [line for line in answer.headers.getall("Set-Cookie") if line.startswith("anju=")]
    assert {"HttpOnly", "Path=/", "SameSite=lax", "Max-Age=43200"} <= {part.strip() for part in cookie.split(";")}
    assert "Secure" not in cookie
    assert (await browser.get("/alarms")).status == 200
    kept = dict(browser.cookies)
    assert (await browser.post("/logout")).headers["Location"] == "/login?why=left"
    browser.cookies = kept  # a copy of the cookie opens nothing either
    assert (await browser.get("/alarms")).status == 303
    assert {row[0] for row in await cloud.rows("SELECT action FROM audit")} >= {"login", "logout"}


async def test_over_https_cookies_are_kept_from_neighbours(database_plain: Database) -> None:
    async with running_cloud(database_plain.url, public_url="https://anju.example.org") as cloud:
        await cloud.person()
        browser = Browser(cloud)
        answer = await browser.log_in()
        assert answer.status == 303
        lines = [line for line in answer.headers.getall("Set-Cookie") if line.startswith("__Host-anju")]
        assert len(lines) == 2  # the session's and the browser's
        assert all("Secure" in line and "HttpOnly" in line for line in lines)
        assert (await browser.get("/alarms")).status == 200


async def test_wrong_names_and_passwords_look_alike_and_cost_alike(
    cloud: RunningCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cloud.person()
    hashed = []

    class Counting:
        """The real hasher, counted."""

        def __getattr__(self, name: str):
            def counted(*arguments: str):
                if name.startswith("verify"):
                    hashed.append(name)
                return getattr(real, name)(*arguments)

            return counted

    real = passwords._hasher
    monkeypatch.setattr(passwords, "_hasher", Counting())
    pages = []
    for login in ("wang", "nobody"):
        browser = Browser(cloud)
        answer = await browser.log_in(login, "wrong")
        assert answer.status == 401
        own = (login, browser.cookies["anju_csrf"], r'datetime="[^"]*"|data-now="[^"]*"')
        pages.append(re.sub("|".join(own), "", answer.body.decode()))
    assert len(hashed) == 2
    assert pages[0] == pages[1]


async def test_after_ten_failures_even_the_right_password_waits(cloud: RunningCloud) -> None:
    await cloud.person()
    await cloud.person("li")
    for _ in range(10):
        assert (await Browser(cloud).log_in("wang", "wrong")).status == 401
    assert (await Browser(cloud).log_in()).status == 429
    assert (await Browser(cloud).log_in("li")).status == 303  # others are not locked out with them
    await cloud.rows("UPDATE login_failure SET at = at - INTERVAL '15 minutes'")
    assert (await Browser(cloud).log_in()).status == 303
    assert await cloud.rows("SELECT count(*) FROM audit WHERE action = 'login refused'") == [(10,)]


@pytest.mark.parametrize("login", ["\x00", "wang\x00", "x" * 200, "' OR 1=1 --", "王" * 100])
async def test_an_odd_name_is_a_wrong_name(cloud: RunningCloud, login: str) -> None:
    assert (await Browser(cloud).log_in(login, "wrong")).status == 401


async def test_a_disabled_person_and_a_taken_right_end_at_once(cloud: RunningCloud) -> None:
    await cloud.person()
    browser = Browser(cloud)
    await browser.log_in()
    assert (await browser.get("/alarms")).status == 200
    await cloud.rows("UPDATE person SET disabled = true")
    assert (await browser.get("/alarms")).status == 303
    assert (await Browser(cloud).log_in()).status == 401


# The application as a whole ------------------------------------------------------------------------------------------

PUBLIC = {
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("POST", ENROL_PATH),
    ("POST", CHALLENGE_PATH),
    ("POST", SESSION_PATH),
    ("GET", "/edge/{rest:path}"),  # 404 for boxes
    ("POST", "/edge/{rest:path}"),
    ("GET", "/"),  # leads to the alarms
    ("GET", "/login"),
    ("POST", "/login"),
    ("POST", "/logout"),
    ("POST", "/settings"),  # language, theme and print size, in cookies
    ("GET", "/static"),
    ("GET", "/a/{token}"),  # who has a message's link need not sign in; only its button acknowledges
    ("POST", "/a/{token}"),
}
"""What may answer anybody. A route that is not here must refuse who has no session."""
ARGUMENTS = {
    "alarm_id": str(uuid4()), "device_id": "1", "point": "unlock", "gateway_id": str(uuid4()), "block_id": "1",
    "token": "none", "incident_id": str(uuid4()), "mobilisation_id": str(uuid4()), "name": "none", "rule": "none",
    "estate": "1", "act": "accept", "number": "1", "comment_id": "1",
}  # fmt: skip


def routes_of(app: object) -> Iterator[tuple[str, str]]:
    """Method and path of every route, also of mounted applications, through their middleware."""
    while not hasattr(app, "routes"):
        app = app.app
    for context in iter_route_contexts(app.routes):
        route = context.route
        if isinstance(route, Mount) and hasattr(route.app, "directory"):  # static files
            yield "GET", route.path
        elif isinstance(route, Mount):
            for method, path in routes_of(route.app):
                yield method, route.path + path
        else:
            for method in sorted((context.methods or {"GET"}) - {"HEAD", "OPTIONS"}):
                yield method, context.path


async def test_every_route_is_public_by_decision_or_refuses_strangers(cloud: RunningCloud) -> None:
    found = set(routes_of(cloud.cloud.pages))
    assert len(found) > 25
    assert found >= PUBLIC, "PUBLIC names a route that is gone"
    browser = Browser(cloud)
    await browser.get("/login")
    for method, path in sorted(found - PUBLIC):
        address = re.sub(r"\{(\w+)[^}]*\}", lambda name: ARGUMENTS[name[1]], path)
        answer = await (browser.get(address) if method == "GET" else browser.post(address))
        to_login = answer.status == 303 and answer.headers["Location"].startswith("/login")
        silent = (answer.status, answer.body) == (204, b"")  # what tells an event stream to give up
        assert to_login or silent or answer.status == 401, f"{method} {path} answers a stranger: {answer.status}"


async def test_a_post_from_elsewhere_is_refused(cloud: RunningCloud) -> None:
    await cloud.person()
    browser = Browser(cloud)
    await browser.log_in()
    for method, path in sorted(routes_of(cloud.cloud.pages)):
        if method == "POST" and not path.startswith("/edge/"):
            address = re.sub(r"\{(\w+)[^}]*\}", lambda name: ARGUMENTS[name[1]], path)
            answer = await cloud.post(address, {"csrf": "guessed"}, browser._headers())
            assert answer.status == 403, path


@pytest.mark.parametrize("path", [ENROL_PATH, SESSION_PATH, blocks_path(Lane.BULK), "/edge/v1/nothing", "/edge/"])
async def test_a_box_that_asks_wrongly_is_answered_as_a_box(cloud: RunningCloud, path: str) -> None:
    is_problem(await cloud.get(path), 404)


async def test_health_and_metrics(cloud: RunningCloud, box: Box) -> None:
    assert (await cloud.get("/healthz")).status == 200
    assert (await cloud.get("/readyz")).status == 200
    chain = urgent_chain()
    chain.urgent(smoke("smoke", AT))
    await box.post(Lane.URGENT, *chain.sent)
    answer = await cloud.get("/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    text = answer.body.decode()
    for sample in (
        'anju_ingest_blocks_total{outcome="taken",stream="urgent"}',
        'anju_ingest_seconds_count{stream="urgent"}',
        'anju_alarm_transitions_total{rule="smoke",state="UNACK"}',
    ):
        (value,) = re.findall(rf"^{re.escape(sample)} ([\d.e+]+)$", text, re.MULTILINE)
        assert float(value) >= 1


async def test_answers_to_boxes_are_kept_by_nobody(cloud: RunningCloud) -> None:
    box = await cloud.enrolled_box()
    answer = await box.try_session(await box.challenge())
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"] == "application/json"
    body = msgspec.json.encode(ChallengeRequest(box.gateway))
    assert len(msgspec.json.decode((await cloud.post(CHALLENGE_PATH, body)).body, type=ChallengeReply).nonce) == 32
    assert "server" not in {name.lower() for name in answer.headers}
    assert isinstance(cloud.client, aiohttp.ClientSession)
