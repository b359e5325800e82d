"""A message as a mail; without I/O."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from html import escape
from typing import Final

from cloud.notify.channel import Message
from cloud.notify.text import MARKS, WORDS, heading, left_out_words, plain

MOST_BYTES: Final = 200 << 10
"""Of the text; the mail is about three times as long."""
_ADDRESS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,250}[A-Za-z0-9])?")


def is_mail_address(text: str) -> bool:
    """Whether this is name@host, in ASCII; internationalised ones are not taken."""
    return _ADDRESS.fullmatch(text) is not None and ".." not in text


def mail(message: Message, left_out: int, sender: str, sender_name: str, to: Sequence[str], at: float) -> bytes:
    """The mail, text and small HTML, with the lines ends of SMTP. Its Message-ID stays the same for a repeat."""
    host = sender.rpartition("@")[2]
    said = EmailMessage(policy=SMTP)
    said["From"] = Address(" ".join(sender_name.split()), addr_spec=sender)
    said["To"] = [Address(addr_spec=address) for address in to]
    said["Subject"] = heading(message)
    said["Date"] = format_datetime(datetime.fromtimestamp(at, UTC))
    said["Message-ID"] = f"<{re.sub(r'[^A-Za-z0-9.-]', '.', message.id).strip('.') or 'message'}@{host}>"
    said["Auto-Submitted"] = "auto-generated"
    if any(line.priority == "critical" for line in message.lines):
        said["Importance"] = "high"
        said["X-Priority"] = "1"
    said.set_content(plain(message, left_out) + "\n")
    said.add_alternative(html(message, left_out), subtype="html")
    return said.as_bytes()


def html(message: Message, left_out: int) -> str:
    """The message as a page without scripts, pictures or styles from elsewhere."""
    words = WORDS[message.language]
    parts = [f"<h3>{escape(heading(message))}</h3>"]
    for line in message.lines:
        text = "<br>\n".join(escape(MARKS.get(line.priority, "") + line.text).split("\n"))
        parts.append(f"<p>{text}{'<br>' + _link(words.answer, line.url) if line.url else ''}</p>")
    parts += [f"<p>{escape(more)}</p>"] if (more := left_out_words(message, left_out)) else []
    parts += [f"<p>{_link(words.see, message.url)}</p>"] if message.url else []
    lang = "zh-CN" if message.language == "zh" else "en"
    return f'<!doctype html>\n<html lang="{lang}"><body>\n' + "\n".join(parts) + "\n</body></html>\n"


def _link(text: str, url: str) -> str:
    return f'<a href="{escape(url)}">{escape(text)}</a>' if url.startswith(("http://", "https://")) else ""
