"""Logging in while others guess: nobody is locked out by strangers, and no crowd of guesses gets past the count."""

import asyncio
import threading
from collections.abc import AsyncIterator

import asyncpg
import pytest

from cloud.identity import passwords, people, tries
from cloud.identity.passwords import MAX_LENGTH
from cloud.identity.people import LoginRefusedError, NoSuchPersonError, Session
from contract.errors import AnjuError
from tests.support.browser import Browser
from tests.support.cloud import PASSWORD, RunningCloud, running_cloud
from tests.support.servers import Database

GUARD, GUESSER = "192.0.2.1", "198.51.100.7"


@pytest.fixture
async def cloud(database_plain: Database) -> AsyncIterator[RunningCloud]:
    async with running_cloud(database_plain.url) as running:
        await running.person()
        yield running


async def log_in(cloud: RunningCloud, password: str = PASSWORD, address: str = GUARD, **more: str) -> Session | int:
    """The session; or after how many seconds to try again, 0 for a wrong password."""
    try:
        return await cloud.cloud.people.log_in(more.pop("login", "wang"), password, address, **more)
    except LoginRefusedError as e:
        return e.after_s


async def test_whoever_guesses_is_locked_out_and_not_the_guard(cloud: RunningCloud) -> None:
    assert [await log_in(cloud, "wrong", GUESSER) for _ in range(12)] == [0] * 10 + [900] * 2
    assert await log_in(cloud, PASSWORD, GUESSER) == 900
    assert isinstance(await log_in(cloud), Session)


async def test_one_address_cannot_try_many_names(cloud: RunningCloud) -> None:
    await cloud.rows(
        "INSERT INTO login_failure SELECT sha256(n::text::bytea), $1, false FROM generate_series(1, 49) n", GUESSER
    )
    assert [await log_in(cloud, "wrong", GUESSER, login=name) for name in ("a", "b")] == [0, 900]


async def test_guesses_from_everywhere_end_too_but_not_for_a_known_browser(cloud: RunningCloud) -> None:
    known = await log_in(cloud)
    assert isinstance(known, Session)
    await cloud.rows(
        "INSERT INTO login_failure SELECT $1, '203.0.113.' || n, false FROM generate_series(1, 100) n",
        tries.login_hash("wang"),
    )
    assert await log_in(cloud, PASSWORD, "192.0.2.99") == 900  # in a new browser
    again = await log_in(cloud, PASSWORD, "192.0.2.99", browser=known.browser)
    assert isinstance(again, Session)
    assert again.browser == known.browser  # of all who log in there
    # What is known is known of one person only, and has its own count.
    await cloud.person("li")
    assert [await log_in(cloud, "wrong", browser=known.browser) for _ in range(11)] == [0] * 10 + [900]
    await cloud.rows("INSERT INTO login_failure SELECT $1, '203.0.113.' || n, false FROM generate_series(1, 100) n",
                     tries.login_hash("li"))  # fmt: skip
    assert await log_in(cloud, login="li", browser=known.browser) == 900


async def test_a_browser_is_known_by_a_token_that_we_made(cloud: RunningCloud) -> None:
    first = await log_in(cloud, browser="planted")
    assert isinstance(first, Session)
    assert first.browser != "planted"
    await cloud.person("li")
    second = await log_in(cloud, login="li", browser=first.browser)  # two guards at one desk
    assert isinstance(second, Session)
    assert second.browser == first.browser
    assert first.browser not in str(await cloud.rows("SELECT * FROM known_browser"))


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_an_ipv6_network_counts_as_one(address: str, source: str) -> None:
    assert tries.source_of(address) == source


class Watched:
    """The real hasher; counts checks, and holds them while `gate` is closed."""

    def __init__(self, real: object) -> None:
        self.real = real
        self.checks = 0
        self.gate = threading.Event()
        self.gate.set()

    def __getattr__(self, name: str):
        def called(*arguments: str):
            if name.startswith("verify"):
                self.checks += 1
                self.gate.wait(10)
            return getattr(self.real, name)(*arguments)

        return called


@pytest.fixture
def hasher(monkeypatch: pytest.MonkeyPatch) -> Watched:
    watched = Watched(passwords._hasher)
    monkeypatch.setattr(passwords, "_hasher", watched)
    return watched


async def test_guesses_at_once_are_counted_before_they_are_looked_at(cloud: RunningCloud, hasher: Watched) -> None:
    async with running_cloud(cloud.database._url, public_url=cloud.url) as another:
        processes = [cloud, another] * 40
        came = await asyncio.gather(*(log_in(process, "wrong", GUESSER) for process in processes))
    assert hasher.checks <= 10
    assert came.count(0) == hasher.checks
    assert set(came) <= {0, 5, 900}
    assert await cloud.rows("SELECT count(*) FROM login_failure") == [(hasher.checks,)]


async def test_checks_wait_in_a_short_queue_and_leave_the_other_threads_alone(
    cloud: RunningCloud, hasher: Watched
) -> None:
    hasher.gate.clear()
    waiting = [asyncio.ensure_future(log_in(cloud, "wrong", f"192.0.2.{n}")) for n in range(20)]
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=10)
    assert done
    async with asyncio.timeout(10):
        while sum(task.done() for task in waiting) < 20 - people._MOST_CHECKING:
            await asyncio.wait([task for task in waiting if not task.done()], return_when=asyncio.FIRST_COMPLETED)
    assert {task.result() for task in waiting if task.done()} == {people._BUSY_S}
    assert hasher.checks == 1  # one thread
    assert await asyncio.to_thread(lambda: "free") == "free"
    hasher.gate.set()
    assert sorted(await asyncio.gather(*waiting)) == [0] * people._MOST_CHECKING + [people._BUSY_S] * 12
    assert isinstance(await log_in(cloud), Session)


async def test_a_password_typed_as_a_name_is_kept_nowhere(
    cloud: RunningCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = "correct horse battery staple"
    for _ in range(11):
        await log_in(cloud, PASSWORD, login=secret)
    assert secret not in str(await cloud.rows("SELECT * FROM audit")) + str(
        await cloud.rows("SELECT * FROM login_failure")
    )
    assert secret not in "".join(capsys.readouterr())
    assert ("stranger", "person ?") in await cloud.rows("SELECT who, object FROM audit WHERE action = 'login refused'")
    await log_in(cloud, "wrong", "192.0.2.5")
    assert ("wang", "person wang") in await cloud.rows("SELECT who, object FROM audit WHERE action = 'login refused'")


async def test_a_login_sends_one_cookie_of_each_name_and_ends_the_session_before(cloud: RunningCloud) -> None:
    browser = Browser(cloud)
    await browser.log_in()
    before = browser.cookies["anju"]
    answer = await browser.log_in()
    names = [line.partition("=")[0] for line in answer.headers.getall("Set-Cookie")]
    assert sorted(names) == ["anju", "anju_browser"]
    assert browser.cookies["anju"] != before
    assert (await browser.get("/alarms")).status == 200
    browser.cookies["anju"] = before
    assert (await browser.get("/alarms")).status == 303


async def test_too_many_tries_say_how_long_to_wait(cloud: RunningCloud) -> None:
    for _ in range(10):
        await Browser(cloud).log_in("wang", "wrong")
    answer = await Browser(cloud).log_in()
    assert (answer.status, answer.headers["Retry-After"]) == (429, "900")
    assert "15 分钟" in answer.body.decode()


# Administration ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [9, MAX_LENGTH + 1])
async def test_a_password_that_could_not_be_used_is_refused(cloud: RunningCloud, length: int) -> None:
    with pytest.raises(AnjuError, match=f"has {length} characters"):
        await cloud.cloud.people.add("li", "li", "x" * length, "operator", "西苑小区", "test")
    with pytest.raises(AnjuError, match=f"has {length} characters"):
        await cloud.cloud.people.set_password("wang", "x" * length, "test")


async def test_the_longest_password_opens_and_a_longer_one_does_not(cloud: RunningCloud) -> None:
    await cloud.cloud.people.set_password("wang", "x" * MAX_LENGTH, "test")
    assert await log_in(cloud, "x" * (MAX_LENGTH + 1)) == 0
    assert isinstance(await log_in(cloud, "x" * MAX_LENGTH), Session)


async def test_a_name_is_the_same_however_it_is_typed(cloud: RunningCloud) -> None:
    await cloud.cloud.people.add("  li\x00 ", "", PASSWORD, "operator", "西苑小区", "test")
    assert isinstance(await log_in(cloud, login=" li "), Session)
    assert await cloud.rows("SELECT name FROM person WHERE login = 'li'") == [("li",)]
    for login in ("li", " li"):
        with pytest.raises(AnjuError, match="there is a person 'li' already"):
            await cloud.cloud.people.add(login, "", PASSWORD, "operator", "西苑小区", "test")
    with pytest.raises(AnjuError, match="at least one character"):
        await cloud.cloud.people.add(" ", "", PASSWORD, "operator", "西苑小区", "test")
    with pytest.raises(AnjuError, match="'king' does not exist"):
        await cloud.cloud.people.add("zhao", "", PASSWORD, "king", "西苑小区", "test")


async def test_access_ends_with_a_new_password_and_with_being_disabled(cloud: RunningCloud) -> None:
    administer = cloud.cloud.people

    async def opened(password: str = PASSWORD) -> Session:
        session = await log_in(cloud, password)
        assert isinstance(session, Session)
        assert await administer.person(session.token) is not None
        return session

    stolen = await opened()
    for _ in range(10):
        await log_in(cloud, "wrong")
    await administer.set_password(" wang", "another long password", "test")
    assert await administer.person(stolen.token) is None
    assert await log_in(cloud) == 0
    session = await opened("another long password")  # who guessed before does not count against the new password
    await administer.set_disabled("wang", disabled=True, by="test")
    assert await administer.person(session.token) is None
    assert await log_in(cloud, "another long password") == 0
    assert await cloud.rows("SELECT count(*) FROM known_browser") == [(0,)]
    await administer.set_disabled("wang", disabled=False, by="test")
    assert await administer.person(session.token) is None
    await opened("another long password")
    done = await cloud.rows("SELECT action, who, object FROM audit WHERE who = 'test' ORDER BY id")
    assert done[-3:] == [
        ("set password", "test", "person wang"),
        ("disable person", "test", "person wang"),
        ("enable person", "test", "person wang"),
    ]
    for attempt in (administer.set_password("nobody", PASSWORD, "t"),
                    administer.set_disabled("nobody", disabled=True, by="t")):  # fmt: skip
        with pytest.raises(NoSuchPersonError, match="user list"):
            await attempt


async def test_a_refused_person_leaves_no_estate_behind(cloud: RunningCloud) -> None:
    with pytest.raises(AnjuError, match="already"):
        await cloud.cloud.people.add("wang", "", PASSWORD, "operator", "东苑", "test")
    assert await cloud.rows("SELECT name FROM area") == [("西苑小区",)]
    await cloud.cloud.gateways.make_claim("东苑", "test")
    made = ("make estate", {"name": "东苑"})
    assert made in await cloud.rows("SELECT action, detail FROM audit")
    with pytest.raises(AnjuError, match="needs a name"):
        await cloud.cloud.gateways.make_claim("  ", "test")


async def test_two_processes_that_make_one_estate_make_one(cloud: RunningCloud) -> None:
    """The second finds the first one's, though that was not committed when it began."""
    async with cloud.database.transaction() as connection:
        await connection.execute("INSERT INTO area (level, name, path) VALUES ('estate', '东苑', '/x/')")
        second = asyncio.ensure_future(cloud.area("东苑"))
        watching = await asyncpg.connect(cloud.database._url)
        try:
            async with asyncio.timeout(10):
                while not await watching.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        finally:
            await watching.close()
    assert [(await second,)] == await cloud.rows("SELECT id FROM area WHERE name = '东苑'")
    areas = await asyncio.gather(*(cloud.area("南苑") for _ in range(5)))
    assert len(set(areas)) == 1
