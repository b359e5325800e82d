"""Who is on line, from last wills, availability and what was heard."""

from edge.drivers.mqtt.life import OFFLINE, ONLINE, Life, Lives

S = 1_000_000_000


def life(*own: bool) -> Life:
    return Life(10.0, own)


def test_what_was_kept_says_who_went_not_who_is_there() -> None:
    device = life(True)
    assert device.says(0, ONLINE, S, is_kept=True) is None
    assert device.verdict(S) is None
    assert device.says(0, OFFLINE, S, is_kept=True) == OFFLINE
    assert device.is_said_offline
    assert device.says(0, OFFLINE, S, is_kept=False) is None, "said once"
    assert device.says(0, ONLINE, 2 * S, is_kept=False) == ONLINE


def test_a_last_will_vouches_for_a_device_once_it_is_proven_there() -> None:
    for kept_first in (True, False):
        device = life(True)
        if kept_first:
            device.says(0, ONLINE, S, is_kept=True)
            device.heard(2 * S)
        else:
            device.heard(S)
            device.says(0, ONLINE, 2 * S, is_kept=True)
        assert device.verdict(1000 * S) == ONLINE
        assert device.watch(1000 * S) == ONLINE
        assert device.watch(1001 * S) is None
        assert device.watch(1004 * S) == ONLINE


def test_silence_without_a_last_will() -> None:
    device = life(False)
    assert device.watch(100 * S) is None, "nothing is known of it yet"
    device.heard(100 * S)
    assert device.watch(110 * S) is None
    assert device.watch(111 * S) == OFFLINE
    assert device.watch(112 * S) is None, "said once"
    device.heard(113 * S)
    assert device.told == ONLINE


def test_a_bridge_vouches_for_nobody_and_takes_all_along() -> None:
    device = life(False, True)
    device.heard(S)
    device.says(0, ONLINE, S, is_kept=False)
    assert device.watch(12 * S) == OFFLINE
    device.heard(13 * S)
    assert device.says(0, OFFLINE, 14 * S, is_kept=False) == OFFLINE
    assert device.says(0, ONLINE, 15 * S, is_kept=False) == ONLINE, "it was heard lately"
    device.says(0, OFFLINE, 16 * S, is_kept=False)
    device.says(0, ONLINE, 60 * S, is_kept=False)
    assert device.verdict(60 * S) is None, "nobody knows whether it is still there"


def test_whoever_speaks_is_there() -> None:
    device = life(True)
    device.says(0, OFFLINE, S, is_kept=True)
    device.heard(2 * S)
    assert (device.verdict(2 * S), device.is_said_offline) == (ONLINE, False)


def test_after_a_loss_of_the_broker_only_what_was_heard_lately_counts() -> None:
    lives = Lives({"a": 10.0, "b": 10.0, "c": 10.0}, {"a": [True], "b": [], "c": []})
    lives["a"].says(0, ONLINE, S, is_kept=False)
    lives["b"].heard(95 * S)
    lives.forget_words()
    assert dict(lives.watch(100 * S)) == {"b": ONLINE}
    assert dict(lives.watch(106 * S)) == {"b": OFFLINE}
    assert lives.silent == 1
