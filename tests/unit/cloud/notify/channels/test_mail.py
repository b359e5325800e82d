"""A message as a mail: nothing in it can become a header, a recipient or the end of the mail."""

import email
import email.policy

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cloud.notify.channel import Line, Message
from cloud.notify.channels.email.channel import _stuffed
from cloud.notify.channels.email.wire import html, is_mail_address, mail
from cloud.notify.text import clean, cleaned

HEADERS = {
    "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type", "Importance",
    "X-Priority",
}  # fmt: skip


def read(raw: bytes):
    return email.message_from_bytes(raw, policy=email.policy.default)


def made(title: str, text: str, priority: str = "", key: str = "m") -> bytes:
    said = Message(id=key, title=title, lines=(Line(text=text, priority=priority, url="https://x/1"),), url="https://x")
    return mail(cleaned(said), 0, "anju@example.org", "Anju 安居", ["guard@example.org", "wang@example.org"], 0.0)


@given(st.text(max_size=200), st.text(max_size=400), st.text(max_size=80))
def test_nothing_becomes_a_header(title: str, text: str, key: str) -> None:
    raw = made(title, text, "critical", key)
    said = read(raw)
    assert set(said.keys()) == HEADERS
    assert said["To"] == "guard@example.org, wang@example.org"
    assert said["From"] == "Anju 安居 <anju@example.org>"
    head = raw.partition(b"\r\n\r\n")[0]
    assert b"\n\n" not in raw
    assert all(len(line) <= 998 for line in head.split(b"\r\n"))


@given(st.text(max_size=400))
def test_the_text_arrives(text: str) -> None:
    plain = read(made("t", text)).get_body(("plain",)).get_content()
    for line in clean(text).splitlines():
        assert line.rstrip() in plain


@given(st.binary(max_size=200) | st.text(".\n", max_size=20).map(str.encode))
@example(b".")
@example(b"x\n.\n..y")
def test_no_mail_ends_itself(raw: bytes) -> None:
    lines = b"\r\n".join(raw.replace(b"\r", b"").split(b"\n")) + b"\r\n"
    sent = _stuffed(lines)
    assert sent.endswith(b"\r\n.\r\n") or sent == b".\r\n"
    *inner, end = sent.split(b"\r\n")[:-1]
    assert end == b"."
    assert b"." not in inner, "a full stop alone on a line would end it"
    assert b"\r\n".join(line[1:] if line.startswith(b".") else line for line in inner) + b"\r\n" == lines


def test_what_burns_is_important_and_a_repeat_is_the_same_mail() -> None:
    urgent = read(made("火警", "x", "critical", "5b1f/2"))
    assert urgent["Importance"] == "high"
    assert urgent["Message-ID"] == "<5b1f.2@example.org>"
    assert read(made("t", "x"))["Importance"] is None


def test_the_page_has_no_foreign_markup() -> None:
    said = Message(
        id="m",
        title="<b>",
        lines=(Line(text="<img src=x>\n&", url='https://x/"onclick='), Line(text="y", url="javascript:x")),
    )
    page = html(said, 3)
    assert "<img" not in page
    assert "javascript" not in page
    assert '"onclick' not in page
    assert "&lt;b&gt;" in page
    assert "3" in page


@pytest.mark.parametrize("text", ["a@b", "guard+night@example.org", "x.y@sub.example.org"])
def test_addresses(text: str) -> None:
    assert is_mail_address(text)


@pytest.mark.parametrize(
    "text", ["", "a", "@b", "a@", "a@b\n", "a@b c@d", "a@b,c@d", "<a@b>", "a b@c", '"a"@b', "é@b", "a@b..c", "a@-"]
)
def test_no_addresses(text: str) -> None:
    assert not is_mail_address(text)
