"""Who this box is: the gateway id the cloud gave it, and the key that proves it. Both live in the state folder."""

from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from contract.errors import AnjuError
from contract.session import signed_text
from edge.disk import write_durably

KEY_FILE = "identity.key"
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


def load_identity(state_dir: Path) -> Identity:
    """The identity in a state folder. Raises NotEnrolled, or AnjuError when its files cannot be used."""
    try:
        enrolment = msgspec.json.decode((state_dir / IDENTITY_FILE).read_bytes(), type=Enrolment)
    except FileNotFoundError as e:
        raise NotEnrolled(
            f"this box is not enrolled yet ({state_dir} holds no {IDENTITY_FILE}).\n"
            "    Ask for a claim code in the console, then: anju enrol --cloud URL --claim CODE --state DIR"
        ) from e
    except (OSError, msgspec.MsgspecError) as e:
        raise AnjuError(f"{state_dir / IDENTITY_FILE} cannot be used: {e}. Enrol this box anew.") from e
    return Identity(enrolment, _load_key(state_dir / KEY_FILE))


def load_or_make_key(state_dir: Path) -> Ed25519PrivateKey:
    """The box's key; made, durably and readable by its owner only, when there is none."""
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = state_dir / KEY_FILE
    if path.exists():
        return _load_key(path)
    key = Ed25519PrivateKey.generate()
    write_durably(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """The 32 bytes that the cloud keeps of a key."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _load_key(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError) as e:
        raise AnjuError(f"{path} cannot be used: {e}. Remove it and enrol this box anew.") from e
    if not isinstance(key, Ed25519PrivateKey):
        raise AnjuError(f"{path} holds another kind of key than Ed25519. Remove it and enrol this box anew.")
    return key
