"""Who this box is: the gateway id the cloud gave it, and the key that proves it. Both live in the state folder."""

import base64
import os
import pwd
import re
from pathlib import Path

import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contract.decoding import from_json
from contract.errors import AnjuError
from contract.session import signed_text
from edge.disk import write_durably

log = structlog.get_logger(__name__)

KEY_FILE = "identity.key"
_PEM = re.compile(rb"-----BEGIN PRIVATE KEY-----\n([A-Za-z0-9+/]{64})\n-----END PRIVATE KEY-----\n")
_PKCS8 = bytes.fromhex("302e020100300506032b657004220420")
_SEED_BYTES = 32
IDENTITY_FILE = "identity.json"


class Enrolment(msgspec.Struct, frozen=True):
    """What the cloud answered when this box was enrolled, and which cloud it was."""

    gateway: str
    estate: str
    cloud: str


class NotEnrolled(AnjuError):  # noqa: N818  # it is a state, with a command that ends it
    """The state folder holds no identity yet."""


class Identity:
    """A box's enrolment and its private key, which is read from disk and never leaves the process."""

    def __init__(self, enrolment: Enrolment, key: Ed25519PrivateKey) -> None:
        self.enrolment = enrolment
        self._key = key

    @property
    def gateway(self) -> str:
        """The gateway's id in the cloud."""
        return self.enrolment.gateway

    def sign(self, nonce: bytes, audience: str) -> bytes:
        """The signature that opens a session with the cloud at `audience`."""
        return self._key.sign(signed_text(self.gateway, nonce, audience))


def load_identity(state_dir: Path, cloud: str = "") -> Identity:
    """The identity in a state folder. Raises NotEnrolled, or AnjuError when its files cannot be used.

    Says so where the box was enrolled at another address than `cloud`: it may be the same cloud that has moved, which
    nobody here can know, so it is no error.
    """
    path = state_dir / IDENTITY_FILE
    try:
        enrolment = from_json(_read(path), Enrolment)
    except FileNotFoundError as e:
        raise NotEnrolled(
            f"this box is not enrolled yet ({state_dir} holds no {IDENTITY_FILE}).\n"
            "    Get a claim code (`anju-cloud claim`), then: anju enrol --cloud URL --claim CODE --state DIR"
        ) from e
    except msgspec.MsgspecError as e:
        raise AnjuError(f"{path} makes no sense: {e}.\n    Move it away and enrol this box anew.") from e
    try:
        key = _load_key(state_dir / KEY_FILE)
    except FileNotFoundError as e:
        raise AnjuError(
            f"{state_dir} has lost its {KEY_FILE}. Put it back from a copy of that folder, or,\n"
            f"    if there is none, move {IDENTITY_FILE} away and enrol this box anew."
        ) from e
    if cloud and _place(cloud) != _place(enrolment.cloud):
        log.warning(
            "the site file names another cloud than the one this box was enrolled at: unless that has moved,"
            " it will refuse this box until it is enrolled there",
            site_file=cloud, enrolled_at=enrolment.cloud,
        )  # fmt: skip
    return Identity(enrolment, key)


def load_or_make_key(state_dir: Path) -> Ed25519PrivateKey:
    """The box's key; made, durably and readable by its owner only, when there is none."""
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = state_dir / KEY_FILE
    if path.exists():
        return _load_key(path)
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    write_durably(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """The 32 bytes that the cloud keeps of a key."""
    return key.public_key().public_bytes_raw()


def _load_key(path: Path) -> Ed25519PrivateKey:
    data = _read(path)
    if (seed := _seed_of(data)) is not None:
        return Ed25519PrivateKey.from_private_bytes(seed)
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError) as e:  # TypeError: it is encrypted
        raise AnjuError(f"{path} makes no sense: {e}. Remove it and enrol this box anew.") from e
    if not isinstance(key, Ed25519PrivateKey):
        raise AnjuError(f"{path} holds another kind of key than Ed25519. Remove it and enrol this box anew.")
    return key


def _seed_of(pem: bytes) -> bytes | None:
    """The 32 bytes of an Ed25519 key as we write it (RFC 8410, section 7); None for anything else.

    The library reads every form of every key, which costs a box 1.5 MB for as long as it runs.
    """
    found = _PEM.fullmatch(pem)
    if found is None:
        return None
    der = base64.b64decode(found[1])
    return der[len(_PKCS8) :] if der.startswith(_PKCS8) and len(der) == len(_PKCS8) + _SEED_BYTES else None


def _read(path: Path) -> bytes:
    """A file of the identity. Raises FileNotFoundError, or AnjuError saying how to get at what is still there."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except PermissionError as e:
        raise AnjuError(no_rights(path)) from e
    except OSError as e:
        raise AnjuError(
            f"{path} cannot be read: {e.strerror or e}.\n"
            "    Check the disk (dmesg says more); the identity on it may still be sound, so remove nothing."
        ) from e


def no_rights(path: Path) -> str:
    """Whose a file is that this process may not use, and how to give it over."""
    known = next((place for place in (path, *path.parents) if _owner(place)), path)
    user = _user(os.geteuid())
    return (
        f"{path} cannot be read by user {user}: {known} belongs to {_owner(known) or 'somebody else'}.\n"
        f"    Give it over: sudo chown -R {user}: {path.parent}"
    )


def _owner(path: Path) -> str:
    """Who owns a file, by name; empty where that cannot be seen."""
    try:
        return _user(path.stat().st_uid)
    except OSError:
        return ""


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _place(url: str) -> str:
    """An address as it is compared."""
    return url.rstrip("/").lower()
