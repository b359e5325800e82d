"""Enrolment: a one-time claim code makes this box's public key known to the cloud (decision 11)."""

import asyncio
import platform
import ssl
from pathlib import Path

import msgspec

from contract.decoding import from_json
from contract.errors import AnjuError
from contract.session import ENROL_PATH, EnrolReply, EnrolRequest
from edge.disk import write_durably
from edge.http.address import NotAnAddressError
from edge.http.client import Answer, Client
from edge.http.proxy import HttpProxy
from edge.provision.identity import IDENTITY_FILE, Enrolment, load_or_make_key, public_bytes

TIMEOUT_S = 30.0
MAX_REPLY_BYTES = 64 << 10

_REFUSALS = {
    403: "The cloud does not let this box enrol. Ask who runs it.",
    404: "There is no Anju cloud at this address. It is the server's alone, without a path: https://anju.example.com",
    405: "There is no Anju cloud at this address. It is the server's alone, without a path: https://anju.example.com",
    429: "Too many attempts. Wait a quarter of an hour, then try again.",
}
"""What an answer means that has no sentence of its own: the cloud gives one for each claim that it refuses."""


class EnrolError(AnjuError):
    """Enrolment did not work; says what to do next."""


async def enrol(
    cloud: str, claim: str, state_dir: Path, *, version: str, ca: Path | None = None, proxy: HttpProxy | None = None
) -> Enrolment:
    """Enrols this box and keeps its identity in the state folder. `proxy` may hold a login. Raises EnrolError.

    The key is on disk before the claim is used, so a power cut in between costs nothing: the same claim with the same
    key gets the same answer.
    """
    try:
        if await asyncio.to_thread((state_dir / IDENTITY_FILE).exists):
            raise EnrolError(
                f"This box is enrolled already ({state_dir / IDENTITY_FILE}).\n"
                f"    To give it a new identity, stop it, move that file away and enrol again."
            )
        key = await asyncio.to_thread(load_or_make_key, state_dir)
        context = None if ca is None else await asyncio.to_thread(ssl.create_default_context, cafile=str(ca))
    except (OSError, ssl.SSLError) as e:
        raise EnrolError(f"{e.strerror or e}: {getattr(e, 'filename', None) or ca or state_dir}") from e
    request = EnrolRequest(claim.strip(), public_bytes(key), platform.node(), version)
    reply = await _post(cloud.rstrip("/"), request, context, proxy)
    enrolment = Enrolment(reply.gateway, reply.estate, cloud.rstrip("/"))
    try:
        await asyncio.to_thread(write_durably, state_dir / IDENTITY_FILE, msgspec.json.encode(enrolment))
    except OSError as e:
        raise EnrolError(
            f"The cloud took the claim, but {state_dir} cannot keep it: {e.strerror or e}.\n"
            "    Mend that and enrol once more with the same claim: the key is kept, and the answer will be the same."
        ) from e
    return enrolment


async def _post(cloud: str, request: EnrolRequest, trust: ssl.SSLContext | None, proxy: HttpProxy | None) -> EnrolReply:
    try:
        async with (
            Client(cloud, trust=trust, proxy=proxy) as http,
            http.request(
                "POST",
                ENROL_PATH,
                body=msgspec.json.encode(request),
                headers={"Content-Type": "application/json"},
                total_s=TIMEOUT_S,
            ) as answer,
        ):
            if answer.status == 200:
                return from_json(await answer.read(MAX_REPLY_BYTES), EnrolReply)
            raise EnrolError(_refusal(answer.status, await _start_of(answer)))
    except ssl.SSLCertVerificationError as e:
        raise EnrolError(
            f"The certificate of {cloud} is not trusted: {e}.\n"
            "    With an own certificate authority, name its file: --ca FILE. Else check the box's date and time."
        ) from e
    except NotAnAddressError as e:
        raise EnrolError(f"{cloud!r} is not an address. It looks like https://anju.example.com") from e
    except OSError as e:  # a TimeoutError is one
        raise EnrolError(
            f"{cloud} cannot be reached: {str(e) or 'no answer'}.\n    Check the address and this box's network."
        ) from e
    except (msgspec.MsgspecError, ValueError) as e:
        raise EnrolError(f"{cloud} answered something else than an Anju cloud does. Check the address.") from e


async def _start_of(answer: Answer) -> bytes:
    """The body of a refusal, where it is not more than a person reads."""
    try:
        return await answer.read(MAX_REPLY_BYTES)
    except ValueError:
        return b""


class _Problem(msgspec.Struct):
    """What of a problem-details body (RFC 9457) is for people."""

    detail: str = ""


def _refusal(status: int, body: bytes) -> str:
    """Why the cloud refused: in its own words where it has some."""
    try:
        detail = from_json(body, _Problem).detail
    except msgspec.MsgspecError:
        detail = ""
    if detail and status < 500:
        return f"The cloud refused: {detail}."
    return _REFUSALS.get(status, f"The cloud answered {status}. Try again later.")
