"""Signatures, addresses and answers of the robots and the webhook."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.notify.channel import Message
from cloud.notify.channels.apprise import wire as apprise
from cloud.notify.channels.dingtalk import wire as dingtalk
from cloud.notify.channels.feishu import wire as feishu
from cloud.notify.channels.webhook import wire as webhook
from cloud.notify.channels.wecom import wire as wecom
from cloud.notify.http import Answer
from cloud.notify.posted import by_status, retry_after_s


def answer(status: int = 200, body: bytes = b"", whole: bool = True, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, headers=named, body=body, whole=whole)


def test_signatures_are_those_of_openssl() -> None:
    """`printf 'time\\nsecret' | openssl dgst -sha256 -hmac secret -binary | base64`, and so on."""
    assert dingtalk.signature("SECabc", 1700000000000) == "jcUpW0QmtKduN03n4JqQ0PBosVjqnM8gU7fIIvsDmCM="
    assert feishu.signature("key", 1700000000) == "q6Oev4Wrs23QSZVkmQVsgFJ6N6asqz82R5NA5r3kxD0="
    assert (
        webhook.signature("key", 1700000000, b'{"a":1}')
        == "v1=a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03"
    )


def test_a_signature_is_escaped_in_the_address() -> None:
    url = dingtalk.address("https://oapi.dingtalk.com/robot/send", "t", "SECabc", 1700000000)
    assert (
        url
        == "https://oapi.dingtalk.com/robot/send?access_token=t&timestamp=1700000000000&sign=jcUpW0QmtKduN03n4JqQ0PBosVjqnM8gU7fIIvsDmCM%3D"
    )
    assert "sign" not in dingtalk.address("https://oapi.dingtalk.com/robot/send", "t", "", 1700000000)


def test_who_copied_a_whole_address_is_understood() -> None:
    assert dingtalk.token_of("https://oapi.dingtalk.com/robot/send?access_token=abc") == "abc"
    assert wecom.key_of("https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=k-1") == "k-1"
    assert feishu.token_of("https://open.feishu.cn/open-apis/bot/v2/hook/h-1") == "h-1"
    assert [dingtalk.token_of("abc"), wecom.key_of("k-1"), feishu.token_of("h-1")] == ["abc", "k-1", "h-1"]
    assert feishu.address("https://f/hook", "../../x?y") == "https://f/hook/..%2F..%2Fx%3Fy"


@given(st.binary(), st.integers(200, 599), st.booleans(), st.sampled_from([dingtalk, wecom, feishu]))
def test_any_answer_is_judged_and_only_code_0_is_accepted(body: bytes, status: int, whole: bool, robot) -> None:
    result = robot.judge(answer(status, body, whole))
    assert not result.accepted, "no random bytes say that"
    assert result.reason
    assert result.code


@given(
    st.dictionaries(
        st.sampled_from(["errcode", "code", "errmsg", "msg"]),
        st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.floats(), st.text(), st.lists(st.none())),
    ),
    st.sampled_from([(dingtalk, "errcode"), (wecom, "errcode"), (feishu, "code")]),
)  # fmt: skip
def test_what_is_like_a_0_and_is_none(said: dict, robot: tuple) -> None:
    wire, field = robot
    code = said.get(field)
    is_0 = (isinstance(code, int) and not isinstance(code, bool) and code == 0) or (
        isinstance(code, str) and code.lstrip("-").isdecimal() and int(code) == 0
    )
    assert wire.judge(answer(body=msgspec.json.encode(said))).accepted is is_0


@pytest.mark.parametrize(
    ("robot", "code", "wait_s"),
    [(dingtalk, 410100, 600), (dingtalk, 130101, 600), (dingtalk, 660026, 600), (dingtalk, -1, 10),
     (dingtalk, "660026", 600), (wecom, 45009, 60), (wecom, 45033, 5), (wecom, -1, 10), (feishu, 11232, 60)],
)  # fmt: skip
def test_what_passes(robot, code: int | str, wait_s: float) -> None:
    field = "code" if robot is feishu else "errcode"
    result = robot.judge(answer(body=msgspec.json.encode({field: code})))
    assert (result.accepted, result.again, result.retry_after_s) == (False, True, wait_s)


@pytest.mark.parametrize(
    ("status", "accepted", "again", "uncertain"),
    [(200, True, False, False), (202, True, False, False), (204, True, False, False), (301, False, False, False),
     (400, False, False, False), (401, False, False, False), (404, False, False, False), (408, False, True, False),
     (413, False, False, False), (429, False, True, False), (500, False, True, True), (502, False, True, True),
     (503, False, True, False), (504, False, True, True)],
)  # fmt: skip
def test_what_a_status_means(status: int, accepted: bool, again: bool, uncertain: bool) -> None:
    result = webhook.judge(answer(status))
    assert (result.accepted, result.again, result.uncertain) == (accepted, again, uncertain)
    assert accepted or f"HTTP {status}" in result.reason


@pytest.mark.parametrize(
    ("said", "date", "wait_s"),
    [("7", "", 7.0), ("0.5", "", 0.5), ("-3", "", 0.0), ("99999999", "", 3600.0), ("nan", "", None), ("", "", None),
     ("Fri, 31 Dec 1999 23:59:59 GMT", "Fri, 31 Dec 1999 23:59:29 GMT", 30.0), ("soon", "", None),
     ("Fri, 31 Dec 1999 23:59:59 GMT", "", None),
     ("Fri, 31 Dec 1999 23:59:59 -0000", "Fri, 31 Dec 1999 23:59:00 GMT", 59.0)],
)  # fmt: skip
def test_how_long_to_wait(said: str, date: str, wait_s: float | None) -> None:
    assert retry_after_s({"retry-after": said, "date": date}) == wait_s
    refused = by_status(answer(429, retry_after=said, date=date))
    assert refused is not None
    assert refused.retry_after_s == wait_s


def test_an_idempotency_key_is_a_header() -> None:
    said = webhook.headers(Message(id="火\r\nX: 1/é", title="", lines=()), b"", "", 0.0)
    assert said["Idempotency-Key"] == "X:1/"


@pytest.mark.parametrize(
    ("url", "words"),
    [("dingtalk://x", "kind dingtalk"), ("wecombot://x", "kind wecom"), ("feishu://x", "kind feishu"),
     ("lark://x", "kind feishu"), ("JSONS://x", "kind webhook"), ("mailtos://x", "kind email"),
     ("syslog://", "own machine"), ("https://hooks.slack.com/x", ""), ("tgram://1/2", ""),
     ("no address", "begins with")],
)  # fmt: skip
def test_what_is_not_left_to_apprise(url: str, words: str) -> None:
    problem = apprise.schema_problem(url)
    assert words in problem
    assert bool(words) == bool(problem)


def test_of_apprises_log_only_the_status_is_taken() -> None:
    refused = apprise.judge(False, ["Failed to send to https://x/KEY: Forbidden, error=403.", "response KEY"])
    assert (refused.code, refused.again) == ("HTTP 403", False)
    assert "KEY" not in refused.reason
    busy = apprise.judge(False, ["x, error=429."])
    assert (busy.again, busy.retry_after_s) == (True, 60.0)
    assert apprise.judge(False, ["A Connection error occurred"]).uncertain
    assert apprise.judge(True, ["error=500"]).accepted
