"""Enrolment of many boxes: one claim each, as every box is enrolled."""

from collections.abc import Sequence

import msgspec

from contract.errors import AnjuError
from contract.session import ENROL_PATH, EnrolReply, EnrolRequest
from contract.version import VERSION
from simulators.load.plan import Identity, new_key
from simulators.load.wire import Server, Wire


async def enrol(server: Server, claims: Sequence[str]) -> list[Identity]:
    """A box for each claim. Raises AnjuError with what the cloud said to the first that it refused."""
    wire, found = await Wire.dial(server), []
    try:
        for n, claim in enumerate(claims):
            private, public = new_key()
            body = msgspec.json.encode(EnrolRequest(claim, public, f"load-{n}", VERSION))
            answer = await wire.ask(server.head("POST", ENROL_PATH, "", len(body)), body)
            if answer.status != 200:
                said = answer.body.decode(errors="replace")
                raise AnjuError(f"the cloud refused claim {n + 1}: {answer.status} {said}")
            found.append(Identity(msgspec.json.decode(answer.body, type=EnrolReply).gateway, private))
    finally:
        wire.close()
    return found
