"""Enrolment against a cloud over HTTP: the key stays, the words help."""

import stat

import pytest

from contract.errors import AnjuError
from edge.provision import NotEnrolled, load_identity
from edge.provision.enrol import EnrolError, enrol
from edge.provision.identity import IDENTITY_FILE, KEY_FILE
from tests.support.fake_cloud import FakeCloud


async def test_enrols_once_and_loads_what_it_kept(tmp_path):
    state_dir = tmp_path / "new folder"
    async with FakeCloud() as cloud:
        cloud.claims["ABC-123"] = "gw-7"
        enrolment = await enrol(cloud.url + "/", " ABC-123\n", state_dir, version="0")
        assert (enrolment.gateway, enrolment.estate, enrolment.cloud) == ("gw-7", "Test estate", cloud.url)
        identity = load_identity(state_dir)
        assert identity.enrolment == enrolment
        assert len(identity.sign(b"nonce", cloud.url)) == 64
        for name in (KEY_FILE, IDENTITY_FILE):
            assert stat.S_IMODE((state_dir / name).stat().st_mode) == 0o600
        assert {path.name for path in state_dir.iterdir()} == {KEY_FILE, IDENTITY_FILE}
        with pytest.raises(EnrolError, match="enrolled already"):
            await enrol(cloud.url, "ABC-123", state_dir, version="0")


async def test_a_cut_after_the_claim_was_used_is_mended_by_trying_again(tmp_path):
    async with FakeCloud() as cloud:
        cloud.claims["ABC-123"] = "gw-7"
        await enrol(cloud.url, "ABC-123", tmp_path, version="0")
        (tmp_path / IDENTITY_FILE).unlink()
        assert (await enrol(cloud.url, "ABC-123", tmp_path, version="0")).gateway == "gw-7"


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (403, "this claim is not known"),
        (404, "does not know"),
        (409, "used already"),
        (410, "expired"),
        (500, "500"),
        (429, "Too many"),
    ],
)
async def test_refusals_say_what_to_do(tmp_path, status, said):
    async with FakeCloud() as cloud:
        cloud.claims["X"] = status
        with pytest.raises(EnrolError, match=said):
            await enrol(cloud.url, "X", tmp_path, version="0")
    assert not (tmp_path / IDENTITY_FILE).exists()


async def test_no_network_and_bad_addresses_are_said(tmp_path):
    with pytest.raises(EnrolError, match="cannot be reached"):
        await enrol("http://127.0.0.1:1", "X", tmp_path, version="0")
    with pytest.raises(EnrolError, match="looks like https://"):
        await enrol("no address", "X", tmp_path, version="0")
    with pytest.raises(EnrolError, match="No such file"):
        await enrol("https://127.0.0.1:1", "X", tmp_path, version="0", ca=tmp_path / "missing.pem")


def test_without_identity_it_says_how_to_get_one(tmp_path):
    with pytest.raises(NotEnrolled, match="anju enrol"):
        load_identity(tmp_path)
    (tmp_path / IDENTITY_FILE).write_text("{}")
    with pytest.raises(AnjuError, match="anew"):
        load_identity(tmp_path)
