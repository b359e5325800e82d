"""Filters found by topic as the standard matches them, and placeholders filled once."""

from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from edge.drivers.mqtt.topics import Subscriptions, fill, fill_all

LEVEL = st.sampled_from(["a", "b", "switch:0", ""])
TOPICS = st.lists(LEVEL, min_size=1, max_size=5).map("/".join).filter(bool)
FILTERS = st.lists(LEVEL | st.just("+"), min_size=1, max_size=5).map("/".join).filter(bool)


@given(st.lists(FILTERS, max_size=8, unique=True), TOPICS)
def test_found_as_a_second_opinion_matches(filters: list[str], topic: str) -> None:
    subscriptions = Subscriptions()
    for one in filters:
        subscriptions.add(one)
    assert sorted(subscriptions.find(topic)) == sorted(f for f in filters if topic_matches_sub(f, topic))


def test_a_topic_of_very_many_levels_is_looked_up_quickly() -> None:
    subscriptions = Subscriptions()
    subscriptions.add("/".join("+" * 20))
    assert subscriptions.find("/" * 60_000) == []


WORDS = {"address": "{base}", "base": "x", "channel": "3", "client": "anju"}


def test_placeholders_are_filled_once() -> None:
    assert fill("{address}/{base}/{nobody}/{", WORDS) == "{base}/x/{nobody}/{"
    assert fill_all({"id": "{channel}", "n": [1, "sw:{channel}"], "src": "{client}"}, WORDS) == {
        "id": 3, "n": [1, "sw:3"], "src": "anju",
    }  # fmt: skip


def test_an_address_is_a_number_where_a_value_says_so() -> None:
    words = {**WORDS, "address": "405419896"}
    assert fill_all(["{number}", "{address}", "a{number}"], words) == [405419896, "405419896", "a{number}"]
    assert (
        fill_all("{number}", {**WORDS, "address": "x1"}) == "{number}"
    )  # what no device is called, so nothing is found
