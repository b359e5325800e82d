"""Who may see the guard page, and how often anyone may guess."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import AnjuError
from edge.guard.access import SESSION_NS, TRIES, TRY_NS, Access, load_key

S = 1_000_000_000
PASSWORD = "correct horse"
KEY, BOOT = b"k" * 32, b"b" * 16


def access(password=PASSWORD, key=KEY, boot=BOOT):
    return Access(password, key, boot)


@pytest.mark.parametrize("password", ["", "1234567", "x" * 201])
def test_a_password_that_keeps_nobody_out_is_said(password):
    with pytest.raises(AnjuError, match="must have 8 to 200 characters"):
        access(password)


def test_the_right_password_gives_a_session_and_it_ends():
    gate = access()
    session = gate.login("10.0.0.1", PASSWORD, 5 * S)
    assert gate.age_ns(session, 6 * S) == S
    assert gate.age_ns(session, 5 * S + SESSION_NS) == SESSION_NS
    assert gate.age_ns(session, 6 * S + SESSION_NS) is None
    assert gate.age_ns(session, 4 * S) is None, "of the future"


def test_a_session_outlives_a_restart_and_neither_a_boot_nor_a_new_password():
    session = access().login("10.0.0.1", PASSWORD, S)
    assert access().age_ns(session, 2 * S) == S
    assert access(boot=b"c" * 16).age_ns(session, 2 * S) is None
    assert access("another password").age_ns(session, 2 * S) is None
    assert access(key=b"l" * 32).age_ns(session, 2 * S) is None


@given(st.text(max_size=100))
def test_nothing_else_is_a_session(text):
    assert access().age_ns(text, S) is None
    assert not access().is_form_token("session", text)


def test_a_changed_session_is_none_and_a_form_belongs_to_one_session():
    gate = access()
    first, second = gate.session(S), gate.session(S)
    head, _, signature = first.rpartition(".")
    assert gate.age_ns(f"9{head}.{signature}", 2 * S) is None
    assert gate.is_form_token(first, gate.form_token(first))
    assert not gate.is_form_token(second, gate.form_token(first))
    assert not gate.is_form_token(first, first)


def test_guessing_is_slowed_down_for_one_address_and_not_for_another():
    gate = access()
    for _ in range(TRIES):
        assert gate.wait_ns("10.0.0.1", S) == 0
        assert gate.login("10.0.0.1", "wrong password", S) is None
    assert gate.wait_ns("10.0.0.1", S) == TRY_NS
    assert gate.wait_ns("10.0.0.2", S) == 0
    assert gate.wait_ns("10.0.0.1", S + TRY_NS) == 0
    gate.login("10.0.0.1", "wrong password", S + TRY_NS)
    assert gate.wait_ns("10.0.0.1", S + TRY_NS) == TRY_NS


def test_many_addresses_together_are_slowed_down_and_cost_no_memory():
    gate = access()
    for n in range(30):
        assert gate.wait_ns(f"10.0.0.{n}", S) == 0
        gate.login(f"10.0.0.{n}", "wrong password", S)
    assert gate.wait_ns("10.0.1.1", S) > 0
    for n in range(5000):
        gate.wait_ns(f"10.1.{n // 250}.{n % 250}", S)
    assert len(gate._tries.by_address) == 1000


def test_who_was_logged_in_is_held_up_by_no_other():
    """A neighbour with many addresses must not keep the guard out in the night of a fire."""
    gate = access()
    gate.login("10.0.0.9", PASSWORD, S)
    for n in range(30):
        gate.login(f"10.0.1.{n}", "wrong password", S)
        while gate.may_ask(f"10.0.1.{n}", S):
            pass
    assert gate.wait_ns("10.0.2.1", S) > 0
    assert not gate.may_ask("10.0.2.1", S)
    assert gate.wait_ns("10.0.0.9", S) == 0
    assert gate.may_ask("10.0.0.9", S)
    for _ in range(TRIES):
        gate.login("10.0.0.9", "wrong password", S)
    assert gate.wait_ns("10.0.0.9", S) == TRY_NS, "its own guesses count as anybody's"


def test_one_stranger_takes_no_other_stranger_s_turn():
    gate = access()
    while gate.may_ask("10.0.0.1", S):
        pass
    assert gate.may_ask("10.0.0.2", S)


def test_the_addresses_that_are_known_are_bounded():
    gate = access()
    for n in range(5000):
        gate.know(f"10.1.{n // 250}.{n % 250}")
    assert len(gate._known) == 100


def test_all_addresses_of_an_ipv6_network_are_one_guesser():
    gate = access()
    for n in range(TRIES):
        gate.login(f"2001:db8::{n}", "wrong password", S)
    assert gate.wait_ns("2001:db8::ffff", S) > 0
    assert gate.wait_ns("2001:db8:0:1::1", S) == 0
    assert gate.wait_ns("fe80::1%eth0", S) == 0
    assert gate.wait_ns("", S) == 0


def test_the_key_is_kept_and_a_disk_that_refuses_gives_one_for_this_run(tmp_path, capsys):
    key = load_key(tmp_path / "guard.key")
    assert load_key(tmp_path / "guard.key") == key
    assert (tmp_path / "guard.key").stat().st_mode & 0o777 == 0o600
    (tmp_path / "guard.key").write_bytes(b"short")
    assert len(load_key(tmp_path / "guard.key")) == 32
    assert load_key(tmp_path / "no" / "guard.key") != load_key(tmp_path / "no" / "guard.key")
    assert "cannot be kept" in capsys.readouterr().out
