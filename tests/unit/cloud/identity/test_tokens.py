"""Tokens cannot be guessed, claim codes survive being read out and typed."""

import re

from hypothesis import given
from hypothesis import strategies as st

from cloud.identity.tokens import new_claim_code, new_token, normal_claim, token_hash


def test_tokens_are_random_and_fit_in_headers_and_cookies() -> None:
    tokens = {new_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", token) for token in tokens)  # 256 bits


def test_claim_codes_have_no_letters_that_look_alike() -> None:
    codes = {new_claim_code() for _ in range(1000)}
    assert len(codes) == 1000
    letters = set("".join(codes)) - {"-"}
    assert letters.isdisjoint("ILO01")
    assert len(letters) ** 12 > 2**59
    assert all(re.fullmatch(r"\w{4}-\w{4}-\w{4}", code) for code in codes)


@given(st.data())
def test_a_claim_code_may_be_typed_in_any_way(data: st.DataObject) -> None:
    code = new_claim_code()
    typed = code.lower() if data.draw(st.booleans()) else code
    typed = typed.replace("-", data.draw(st.sampled_from(["", " ", "-", " - ", "—", "\t"])))
    typed = data.draw(st.sampled_from(["", " ", "\n"])) + typed + data.draw(st.sampled_from(["", " ", "\n", "."]))
    assert normal_claim(typed) == code


@given(st.text(max_size=40))
def test_whatever_is_typed_becomes_something_that_can_be_looked_up(typed: str) -> None:
    normal = normal_claim(typed)
    assert normal_claim(normal) == normal
    assert len(token_hash(normal)) == 32


def test_hashes_tell_tokens_apart() -> None:
    assert len({token_hash(token) for token in ("", "a", "b", "A")}) == 4
    assert b"secret" not in token_hash("secret")
