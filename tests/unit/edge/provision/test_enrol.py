"""Enrolment against a cloud over HTTP: the key stays, the words help."""

import os
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from contract.errors import AnjuError
from edge.http.proxy import HttpProxy
from edge.provision import Enrolment, NotEnrolled, load_identity
from edge.provision import enrol as enrol_module
from edge.provision import identity as identity_module
from edge.provision.enrol import EnrolError, enrol
from edge.provision.identity import IDENTITY_FILE, KEY_FILE, load_or_make_key, public_bytes
from tests.support.fake_cloud import FakeCloud
from tests.unit.edge.uplink.test_proxy import LOGIN, forward_proxy

NOBODY = 65534


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
        (404, "no Anju cloud at this address"),
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


@contextmanager
def folder_of_another_user():
    """A state folder with an identity that this process may see and not read, as after `sudo anju enrol`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        load_or_make_key(folder)
        (folder / IDENTITY_FILE).write_bytes(msgspec.json.encode(Enrolment("gw", "estate", "https://cloud")))
        if os.geteuid() != 0:
            (folder / KEY_FILE).chmod(0)
            yield folder
            return
        folder.chmod(0o755)
        (folder / IDENTITY_FILE).chmod(0o644)
        os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            os.seteuid(0)


def test_a_key_of_another_user_is_to_be_given_over_and_never_removed():
    with folder_of_another_user() as folder, pytest.raises(AnjuError) as told:
        load_identity(folder)
    said = str(told.value)
    assert f"{folder / KEY_FILE} cannot be read by user " in said
    assert "belongs to " in said
    assert "sudo chown -R " in said
    assert "emove" not in said
    assert "anew" not in said


def test_a_disk_that_cannot_be_read_is_to_be_looked_at_and_nothing_removed(tmp_path):
    load_or_make_key(tmp_path)
    (tmp_path / IDENTITY_FILE).mkdir()
    with pytest.raises(AnjuError, match=r"Check the disk .* remove nothing"):
        load_identity(tmp_path)


def test_only_what_was_read_and_makes_no_sense_may_go(tmp_path):
    (tmp_path / IDENTITY_FILE).write_bytes(msgspec.json.encode(Enrolment("gw", "estate", "https://cloud")))
    with pytest.raises(AnjuError, match=r"has lost its identity\.key\. Put it back"):
        load_identity(tmp_path)
    (tmp_path / KEY_FILE).write_text("no key")
    with pytest.raises(AnjuError, match=r"makes no sense: .*\. Remove it and enrol this box anew"):
        load_identity(tmp_path)


async def test_an_answer_that_cannot_be_kept_is_said_with_what_to_do(tmp_path, monkeypatch):
    async with FakeCloud() as cloud:
        cloud.claims["ABC-123"] = "gw-7"
        load_or_make_key(tmp_path)
        # Made while the cloud answers: a name that a file cannot take.
        enrolling = enrol(cloud.url, "ABC-123", tmp_path, version="0")
        monkeypatch.setattr(enrol_module, "IDENTITY_FILE", "gone/identity.json")
        with pytest.raises(EnrolError, match="once more with the same claim"):
            await enrolling


async def test_it_goes_through_a_proxy_that_wants_a_login(tmp_path):
    seen = []
    async with FakeCloud() as cloud, forward_proxy(seen) as proxy:
        cloud.claims["ABC-123"] = "gw-7"
        with_login = HttpProxy.at(proxy, "estate", "s3cret")
        enrolment = await enrol(cloud.url, "ABC-123", tmp_path, version="0", proxy=with_login)
    assert enrolment.gateway == "gw-7"
    assert seen == [LOGIN]


def test_a_key_is_read_as_the_library_reads_it(tmp_path):
    """What is read without the library is the same key, and every other form goes to the library."""
    key = load_or_make_key(tmp_path)
    pem = (tmp_path / KEY_FILE).read_bytes()
    assert identity_module._seed_of(pem) == key.private_bytes_raw()
    for other in (pem.replace(b"\n", b"\r\n"), pem + b"\n", pem[:-2], b"", pem.replace(b"MC4C", b"MC5C")):
        assert identity_module._seed_of(other) is None
    assert public_bytes(load_or_make_key(tmp_path)) == public_bytes(key)
