"""Boxes prove themselves with their own keys (ARCHITECTURE.md, decision 11)."""

import hmac
import secrets
from datetime import timedelta
from uuid import UUID

import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from cloud.identity.areas import estate_id
from cloud.identity.sessions import Sessions
from cloud.identity.tokens import new_box_token, new_claim_code, normal_claim, token_hash
from cloud.store import Connection, Database, gateways, people, storable, streams
from contract.errors import AnjuError
from contract.kinds import Lane
from contract.session import (
    BEAT_S,
    MAX_BEAT_S,
    MIN_BEAT_S,
    EnrolReply,
    EnrolRequest,
    SessionReply,
    SessionRequest,
    signed_text,
)

log = structlog.get_logger()
TOKEN_LASTS = timedelta(minutes=15)
"""Of a box that beats as usual; of one that beats seldom, as many beats."""
CLAIM_LASTS = timedelta(days=7)
NONCE_BYTES = 32
_MAX_FAILURES = 10


class ClaimRefusedError(AnjuError):
    """The claim cannot be used, and why."""


class ReplaceError(ClaimRefusedError):
    """A box cannot take another's place, and why."""


class NotUnderstoodError(AnjuError):
    """A request that makes no sense."""


class TooLongError(AnjuError):
    """A request longer than any of these has reason to be."""


class TooManyClaimsError(AnjuError):
    """Too many wrong claims from one address."""


class NotAuthenticError(AnjuError):
    """The box could not prove itself."""


_NOT_PROVEN = (
    "this box could not prove itself: it is not known here or was revoked, its nonce is too old,"
    " or the cloud's URL on the box is none of the cloud's"
)
"""One sentence for all, so that nobody learns which boxes there are; the log says which it was."""


def _is_signed(key: bytes, signature: bytes, text: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, text)
    except InvalidSignature:
        return False
    return True


class Gateways:
    """Claims, enrolment and sessions of boxes, which sign one of `audiences`, this cloud's addresses."""

    def __init__(self, database: Database, *audiences: str) -> None:
        self._database = database
        self._audiences = audiences
        self._sessions = Sessions(database)

    async def make_claim(self, estate: int | str, by: str) -> str:
        """A code that enrols one box in an estate within a week; shown once, kept as a hash.

        An estate that is named is made where there is none of that name.
        """
        code = new_claim_code()
        async with self._database.transaction() as connection:
            area = await estate_id(connection, estate, by)
            await gateways.put_claim(connection, token_hash(code), area, by, CLAIM_LASTS)
            await people.audit(connection, None, by, "make claim", f"area {area}")
        return code

    async def make_replacing_claim(self, old: UUID, by: str) -> str:
        """A code that enrols one box in the place of another, whose devices it takes over. Raises ReplaceError."""
        code = new_claim_code()
        async with self._database.transaction() as connection:
            standing = await _standing(connection, old)
            await gateways.put_claim(connection, token_hash(code), standing.estate, by, CLAIM_LASTS, old)
            await people.audit(connection, None, by, "make claim", f"gateway {old}", {"replaces": str(old)})
        return code

    async def enrol(self, request: EnrolRequest, address: str) -> EnrolReply:
        """Registers a box's key against a claim, once; a box that did not hear the answer may ask again.

        Raises ClaimRefusedError saying what to do, TooManyClaimsError after ten wrong ones from one address.
        """
        if len(request.public_key) != 32:  # an Ed25519 key
            raise ClaimRefusedError("the public key is not an Ed25519 key")
        async with self._database.connect() as connection:
            if await gateways.count_enrol_failures(connection, address) >= _MAX_FAILURES:
                raise TooManyClaimsError("too many wrong claims from here; wait a quarter of an hour")
        async with self._database.transaction() as connection:
            reply, problem = await self._use_claim(connection, request, address)
            if problem:
                await gateways.put_enrol_failure(connection, address)
        if reply is None:
            log.warning("enrolment refused", address=address, problem=problem)
            raise ClaimRefusedError(problem)
        await self._database.wake({f"{topic}:{reply.estate}" for topic in ("gateways", "devices")})
        return reply

    async def replace(self, old: UUID, new: UUID, by: str) -> int:
        """Revokes a box and gives all its devices to another, with ids, history and alarms; returns how many.

        Raises ReplaceError where that cannot be done.
        """
        async with self._database.transaction() as connection:
            await gateways.stop_storing(connection, old, new)  # or the new one could name devices meanwhile
            before, after = await _standing(connection, old), await _standing(connection, new)
            if old == new or before.estate != after.estate:
                raise ReplaceError("a box is replaced by another one of its estate")
            if after.has_devices:
                raise ReplaceError(
                    f"gateway {new} has reported devices of its own, and no device can have two histories.\n"
                    f"    Revoke it (`anju-cloud gateway revoke {new}`), and enrol the box anew with a claim that says"
                    f" what it replaces: `anju-cloud claim --replaces {old}`"
                )
            devices = await self._replace(connection, old, new, by, "")
        await self._ended(old, gateways.Revoked(before.estate, devices))
        return len(devices)

    async def _replace(self, connection: Connection, old: UUID, new: UUID, by: str, address: str) -> frozenset[int]:
        replaced = await gateways.replace(connection, old, new)
        if replaced is None:
            raise ReplaceError(f"gateway {old} was revoked meanwhile")
        detail = {"by": str(new), "devices": len(replaced.devices)}
        await people.audit(connection, None, by, "replace", f"gateway {old}", detail, address)
        return replaced.devices

    async def _use_claim(
        self, connection: Connection, request: EnrolRequest, address: str
    ) -> tuple[EnrolReply | None, str]:
        """The reply, or the problem in words."""
        code_hash = token_hash(normal_claim(request.claim))
        claim = await gateways.lock_claim(connection, code_hash)
        if claim is None:
            return None, "this claim is not known; check the code, or ask for a new one (`anju-cloud claim`)"
        if claim.gateway and claim.public_key and hmac.compare_digest(claim.public_key, request.public_key):
            return EnrolReply(str(claim.gateway), str(claim.estate)), ""  # the power failed before it had the answer
        if claim.used:
            return None, "this claim was used already; ask for a new one (`anju-cloud claim`)"
        if claim.expired:
            return None, "this claim has expired; ask for a new one (`anju-cloud claim`)"
        if claim.replaces and await gateways.standing(connection, claim.replaces) is None:
            return None, f"gateway {claim.replaces}, which this claim replaces, was revoked; ask for another claim"
        hostname, version = storable(request.hostname, 100), storable(request.version, 50)
        gateway = await gateways.put_gateway(connection, claim.estate, request.public_key, hostname, version)
        await gateways.use_claim(connection, code_hash, gateway)
        detail = {"hostname": hostname}
        await people.audit(connection, None, f"gateway {gateway}", "enrol", f"area {claim.estate}", detail, address)
        if claim.replaces:
            await self._replace(connection, claim.replaces, gateway, f"gateway {gateway}", address)
        return EnrolReply(str(gateway), str(claim.estate)), ""

    async def challenge(self, gateway: UUID) -> bytes:
        """A nonce to sign. An unknown box gets one too, so that asking tells nobody which boxes there are."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        async with self._database.connect() as connection:
            await gateways.put_nonce(connection, nonce, gateway)
        return nonce

    async def open_session(self, request: SessionRequest) -> SessionReply:
        """A session for a rightly signed nonce, with the cloud's time left at 0. Raises NotAuthenticError otherwise."""
        gateway = UUID(request.gateway)
        async with self._database.connect() as connection:
            key = await gateways.take_nonce(connection, request.nonce, gateway)
        texts = [signed_text(request.gateway, request.nonce, audience) for audience in self._audiences]
        if key is None or not any(_is_signed(key, request.signature, text) for text in texts):
            log.warning("a box could not prove itself", gateway=gateway, known_and_asked=key is not None)
            raise NotAuthenticError(_NOT_PROVEN)
        token, beat_s = new_box_token(), min(max(request.beat_s, MIN_BEAT_S), MAX_BEAT_S)
        lasts = TOKEN_LASTS * max(1.0, beat_s / BEAT_S)
        async with self._database.transaction() as connection:
            await gateways.open_session(connection, token_hash(token), gateway, lasts)
            await gateways.seen(connection, gateway, storable(request.version, 50), beat_s=beat_s)
            found = await streams.cursors(connection, gateway)
        return SessionReply(token, lasts.total_seconds(), 0, found[Lane.URGENT], found[Lane.BULK])

    async def authenticate(self, token: str) -> gateways.Gateway | None:
        """The box whose token this is; None when it has expired or the box was revoked."""
        return await self._sessions.gateway(token)

    async def revoke(self, gateway: UUID, by: str) -> bool:
        """Ends a box's sessions at once and for good; False when there is no such box.

        Its devices and their alarms end with it: another box will name the devices anew, and nobody could clear these.
        """
        async with self._database.transaction() as connection:
            revoked = await gateways.revoke(connection, gateway, by, "gateway revoked")
            if revoked is None:
                return False
            await people.audit(connection, None, by, "revoke", f"gateway {gateway}")
        await self._ended(gateway, revoked)
        return True

    async def _ended(self, gateway: UUID, revoked: gateways.Revoked) -> None:
        """Whoever holds the box's down stream ends it, and pages show what became of its devices."""
        await self._database.wake(
            {
                f"gateway:{gateway}",
                *(f"{topic}:{revoked.estate}" for topic in ("gateways", "devices", "alarms")),
                *(f"device:{device}" for device in revoked.devices),
            }
        )


async def _standing(connection: Connection, gateway: UUID) -> gateways.Standing:
    standing = await gateways.standing(connection, gateway)
    if standing is None:
        raise ReplaceError(f"there is no gateway {gateway}, or it was revoked")
    return standing
