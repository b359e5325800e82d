"""Wake-ups within what NOTIFY takes."""

from hypothesis import given
from hypothesis import strategies as st

from cloud.store.wakeups import payloads

topics = st.sets(st.from_regex(r"(alarms|device|devices|gateway):[0-9a-f-]{1,36}", fullmatch=True), max_size=900)


@given(topics)
def test_all_topics_go_out_in_pieces_that_notify_takes(names: set[str]) -> None:
    sent = list(payloads(names))
    assert all(len(payload.encode()) < 8000 for payload in sent)
    if "" in sent:
        assert sent == [""]  # too many to name: anything may have changed
    else:
        assert {topic for payload in sent for topic in payload.split("\n")} == names


def test_nothing_is_sent_for_nothing() -> None:
    assert list(payloads([])) == []


def test_very_many_topics_become_anything() -> None:
    assert list(payloads(f"device:{n:036}" for n in range(5000))) == [""]
