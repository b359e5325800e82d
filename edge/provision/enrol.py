"""Enrolment: a one-time claim code makes this box's public key known to the cloud (decision 11)."""

import asyncio
import platform
import ssl
from pathlib import Path

import aiohttp
import msgspec
from yarl import URL

from contract.errors import AnjuError
from contract.session import ENROL_PATH, EnrolReply, EnrolRequest
from edge.disk import write_durably
from edge.provision.identity import IDENTITY_FILE, Enrolment, load_or_make_key, public_bytes

TIMEOUT_S = 30.0

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
    cloud: str, claim: str, state_dir: Path, *, version: str, ca: Path | None = None, proxy: URL | None = None
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


async def _post(cloud: str, request: EnrolRequest, context: ssl.SSLContext | None, proxy: URL | None) -> EnrolReply:
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(trust_env=True, timeout=timeout, proxy=proxy) as http,
            http.post(
                cloud + ENROL_PATH,
                data=msgspec.json.encode(request),
                headers={"Content-Type": "application/json"},
                ssl=context or True,
                allow_redirects=False,
            ) as response,
        ):
            body = await response.read()
            if response.status == 200:
                return msgspec.json.decode(body, type=EnrolReply)
            raise EnrolError(_refusal(response.status, body))
    except aiohttp.ClientConnectorCertificateError as e:
        raise EnrolError(
            f"The certificate of {cloud} is not trusted: {e.certificate_error}.\n"
            "    With an own certificate authority, name its file: --ca FILE. Else check the box's date and time."
        ) from e
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as e:
        raise EnrolError(f"{cloud!r} is not an address. It looks like https://anju.example.com") from e
    except (aiohttp.ClientError, TimeoutError, OSError) as e:
        raise EnrolError(
            f"{cloud} cannot be reached: {str(e) or 'no answer'}.\n    Check the address and this box's network."
        ) from e
    except msgspec.MsgspecError as e:
        raise EnrolError(f"{cloud} answered something else than an Anju cloud does. Check the address.") from e


class _Problem(msgspec.Struct):
    """What of a problem-details body (RFC 9457) is for people."""

    detail: str = ""


def _refusal(status: int, body: bytes) -> str:
    """Why the cloud refused: in its own words where it has some."""
    try:
        detail = msgspec.json.decode(body, type=_Problem).detail
    except msgspec.MsgspecError:
        detail = ""
    if detail and status < 500:
        return f"The cloud refused: {detail}."
    return _REFUSALS.get(status, f"The cloud answered {status}. Try again later.")
