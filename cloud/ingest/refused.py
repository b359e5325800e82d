"""The answer to blocks that cannot be taken now."""

from contract.errors import AnjuError
from contract.session import Refusal


class RefusedError(AnjuError):
    """The blocks do not continue the stream; the box is told why and where the cloud stands (409)."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


class RevokedError(AnjuError):
    """The box was revoked while its blocks were on their way: its session has ended (401)."""

    def __init__(self) -> None:
        super().__init__("this box was revoked")
