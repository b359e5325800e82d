"""Who may see the guard page: one password, sessions that outlive a restart, and a brake on guessing."""

import hashlib
import hmac
import ipaddress
import secrets
from collections import OrderedDict
from pathlib import Path
from typing import Final

import structlog

from contract.errors import AnjuError
from edge.disk import write_durably

log = structlog.get_logger(__name__)

_S = 1_000_000_000
MIN_PASSWORD: Final = 8
MAX_PASSWORD: Final = 200
SESSION_NS: Final = 12 * 3600 * _S
"""So long a session lasts after the page was looked at last: a screen that is on stays logged in."""
RENEW_NS: Final = 600 * _S
"""A session that is older than this is renewed when it is used."""
TRIES: Final = 5
TRY_NS: Final = 12 * _S
"""One address may guess so often at once, and again once in so long."""
ALL_TRIES: Final = 30
ALL_TRY_NS: Final = 2 * _S
"""All addresses together."""
MAX_ADDRESSES: Final = 1000
MAX_KNOWN: Final = 100
"""Addresses remembered from which somebody was logged in: who guesses or floods from others holds none of them up."""
ASKS: Final = 40
ASK_NS: Final = _S // 5
"""Who is not logged in may ask for pages so often at once, and then once in so long,"""
ALL_ASKS: Final = 100
ALL_ASK_NS: Final = _S // 20
"""and all of them together: they must not slow the box's own work."""


class Bucket:
    """Tries that are left; one comes back after each `every_ns`."""

    __slots__ = ("_every_ns", "_full_ns", "_most")

    def __init__(self, most: int, every_ns: int) -> None:
        self._most, self._every_ns = most, every_ns
        self._full_ns = 0
        """When it is full again."""

    def wait_ns(self, now_ns: int) -> int:
        """How long until there is a try; 0 when there is one now."""
        return max(0, self._full_ns - now_ns - (self._most - 1) * self._every_ns)

    def take(self, now_ns: int) -> None:
        """Uses one up."""
        self._full_ns = max(self._full_ns, now_ns) + self._every_ns


class Brake:
    """What each address may do, and all together; who is `known` has only its own share to mind."""

    def __init__(self, most: int, every_ns: int, all_most: int, all_every_ns: int) -> None:
        self._most, self._every_ns = most, every_ns
        self._all = Bucket(all_most, all_every_ns)
        self.by_address: OrderedDict[str, Bucket] = OrderedDict()

    def wait_ns(self, address: str, now_ns: int, *, is_known: bool) -> int:
        """How long this address has to wait."""
        return max(self._bucket(address).wait_ns(now_ns), 0 if is_known else self._all.wait_ns(now_ns))

    def take(self, address: str, now_ns: int) -> None:
        """Uses one up."""
        self._all.take(now_ns)
        self._bucket(address).take(now_ns)

    def _bucket(self, address: str) -> Bucket:
        name = _network(address)
        bucket = self.by_address.pop(name, None) or Bucket(self._most, self._every_ns)
        self.by_address[name] = bucket
        while len(self.by_address) > MAX_ADDRESSES:
            self.by_address.popitem(last=False)
        return bucket


class Access:
    """Sessions are signed by a key of this box and boot: after a new boot or a new password everyone logs in again."""

    def __init__(self, password: str, key: bytes, boot: bytes) -> None:
        """Raises AnjuError for a password that is too short to keep anyone out, or absurdly long."""
        if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
            raise AnjuError(
                f"the guard page's password must have {MIN_PASSWORD} to {MAX_PASSWORD} characters.\n"
                "    Put another one into the secret that guard_page.password names in the site file, and restart."
            )
        self._password = _digest(password)
        self._key = hmac.digest(key + boot, self._password, "sha256")
        self._tries = Brake(TRIES, TRY_NS, ALL_TRIES, ALL_TRY_NS)
        self._asks = Brake(ASKS, ASK_NS, ALL_ASKS, ALL_ASK_NS)
        self._known: OrderedDict[str, None] = OrderedDict()
        """Addresses from which somebody was logged in, the latest last."""

    def wait_ns(self, address: str, now_ns: int) -> int:
        """How long this address has to wait before it may try a password."""
        return self._tries.wait_ns(address, now_ns, is_known=self._is_known(address))

    def may_ask(self, address: str, now_ns: int) -> bool:
        """Whether a stranger may ask for a page now, which counts."""
        if self._asks.wait_ns(address, now_ns, is_known=self._is_known(address)):
            return False
        self._asks.take(address, now_ns)
        return True

    def know(self, address: str) -> None:
        """Somebody is logged in from there."""
        name = _network(address)
        self._known[name] = None
        self._known.move_to_end(name)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    def login(self, address: str, password: str, now_ns: int) -> str | None:
        """A session for the right password, else None. Ask `wait_ns` first."""
        if hmac.compare_digest(_digest(password[: MAX_PASSWORD + 1]), self._password):
            self.know(address)
            return self.session(now_ns)
        self._tries.take(address, now_ns)
        return None

    def session(self, now_ns: int) -> str:
        """A new session."""
        head = f"{now_ns}.{secrets.token_hex(8)}"
        return f"{head}.{self._sign('session', head)}"

    def age_ns(self, session: str, now_ns: int) -> int | None:
        """How old a session is; None when it is none of ours, or over."""
        head, _, signature = session.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._sign("session", head).encode()):
            return None
        age_ns = now_ns - int(head.partition(".")[0])
        return age_ns if 0 <= age_ns <= SESSION_NS else None

    def form_token(self, session: str) -> str:
        """What a form of this session carries, so that no other site can send it."""
        return self._sign("form", session)

    def is_form_token(self, session: str, token: str) -> bool:
        """Whether a form came from a page of this session."""
        return hmac.compare_digest(token.encode(), self.form_token(session).encode())

    def _sign(self, what: str, text: str) -> str:
        return hmac.new(self._key, f"{what}:{text}".encode(), "sha256").hexdigest()

    def _is_known(self, address: str) -> bool:
        return _network(address) in self._known


def load_key(path: Path) -> bytes:
    """The box's key for sessions, made at the first start; where the disk refuses, one for this run only."""
    try:
        key = path.read_bytes()
        if len(key) == 32:
            return key
    except OSError:
        pass
    key = secrets.token_bytes(32)
    try:
        write_durably(path, key)
    except OSError as e:
        log.warning("sessions of the guard page end with this run: their key cannot be kept", problem=str(e))
    return key


def _digest(password: str) -> bytes:
    return hashlib.sha256(password.encode(errors="surrogatepass")).digest()


def _network(address: str) -> str:
    """An address as one guesser has it: of IPv6 the whole network, for anyone has all of its addresses."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    return str(ipaddress.ip_network((ip, 64), strict=False)) if ip.version == 6 else str(ip)
