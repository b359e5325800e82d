"""What fits into a message, what is left out, and what becomes of markup."""

from hypothesis import example, given
from hypothesis import strategies as st

from cloud.notify.channel import Line, Message, split
from cloud.notify.text import MOST_TITLE, clean, cleaned, fitted, link, plain, room, unmarked

TEXTS = st.lists(st.text(max_size=60), max_size=40)


def message(texts: list[str], title: str = "t", repeat: bool = False) -> Message:
    return Message(
        id="m", title=title, lines=tuple(Line(text=text) for text in texts), repeat=repeat, url="https://x/y"
    )


def within(limit: int):
    return lambda message, left_out: len(plain(message, left_out).encode()) <= limit


class Fake:
    """A channel as far as `split` knows one."""

    def __init__(self, limit: int) -> None:
        self.fits = within(limit)

    def room(self, message: Message) -> int:
        return room(message, self.fits)


@given(TEXTS, st.text(max_size=300), st.integers(500, 3000))
@example(["火" * 60] * 40, "t", 500)
def test_what_is_sent_fits_and_counts_what_is_left_out(texts: list[str], title: str, limit: int) -> None:
    shown, left_out = fitted(message(texts, title), within(limit))
    assert within(limit)(shown, left_out)
    assert len(shown.lines) + left_out == len(texts)
    assert [line.text for line in shown.lines] == [clean(text) for text in texts[: len(shown.lines)]]
    assert (f"另有 {left_out} 条" in plain(shown, left_out)) is (left_out > 0)


@given(TEXTS.filter(bool), st.integers(500, 3000))
def test_room_is_as_many_as_fit_and_no_more(texts: list[str], limit: int) -> None:
    said = message(texts)
    count = room(said, within(limit))
    fits = [within(limit)(cleaned(message(texts[:n])), 0) for n in range(1, len(texts) + 1)]
    assert count == max(1, sum(fits))


@given(TEXTS, st.integers(500, 1000))
def test_parts_hold_every_line_once_and_in_order(texts: list[str], limit: int) -> None:
    parts = split(Fake(limit), message(texts))
    assert [line.text for part in parts for line in part.lines] == texts
    assert len({part.id for part in parts}) == len(parts)
    for part in parts:
        assert fitted(part, within(limit))[1] == 0


@given(st.text(min_size=700, max_size=5000), TEXTS)
def test_a_line_longer_than_a_message_is_cut(long: str, rest: list[str]) -> None:
    shown, left_out = fitted(message([long, *rest]), within(600))
    assert within(600)(shown, left_out)
    assert len(shown.lines) >= 1
    if len(clean(long).encode()) > 600:
        assert shown.lines[0].text.endswith("…")
        assert clean(long).startswith(shown.lines[0].text[:-1].rstrip())


def test_a_cut_is_at_a_line_where_that_keeps_half() -> None:
    shown, _ = fitted(message(["第一行\n" + "第二行" * 60 + "\n" + "x" * 400]), within(700))
    assert shown.lines[0].text == "第一行\n" + "第二行" * 60 + "…"


@given(st.text(st.characters(exclude_categories=())))
def test_no_control_character_is_left(text: str) -> None:
    said = cleaned(message([text], title=text))
    assert len(said.title) <= MOST_TITLE
    assert "\n" not in said.title
    for c in said.lines[0].text + said.title:
        assert c in "\n\t" or ord(c) >= 32, "none below a space"
        assert not 0x7F <= ord(c) <= 0x9F
        assert not 0xD800 <= ord(c) <= 0xDFFF, "half of a character cannot be sent"
        assert c not in "\u202e\u2066"


@given(st.text())
def test_nothing_of_markdown_is_left(text: str) -> None:
    assert not set(unmarked(text)) & set("<>[]*_`#~|\\")


@given(st.text())
def test_an_address_cannot_end_its_link(url: str) -> None:
    written = link("see", "https://x/" + url)
    assert written.startswith("[see](https://x/")
    assert written.count(")") == 1
    assert not set(written) & set(' "<>\n\\')
