"""What the kernel counts of a TCP connection: what it costs on the wire, and how much the other side has.

Counted beneath TLS, so handshakes, record headers and what was sent again are in it.
"""

import socket
import struct
from typing import Final

import msgspec

_INFO_BYTES: Final = 232
_ACKED: Final = struct.Struct("=QQII")
_ACKED_AT: Final = 120
_MIN_RTT: Final = struct.Struct("=I")
_MIN_RTT_AT: Final = 148
_SENT: Final = struct.Struct("=Q")
_SENT_AT: Final = 200
"""Where tcpi_bytes_acked (with tcpi_bytes_received, tcpi_segs_out, tcpi_segs_in), tcpi_min_rtt and tcpi_bytes_sent are.

Source: linux/tcp.h, struct tcp_info; since Linux 4.19.
"""
_TCP_HEADER: Final = 32
"""With timestamps, as Linux has them by default."""
_IP_HEADERS: Final = {socket.AF_INET: 20, socket.AF_INET6: 40}


class TcpCounts(msgspec.Struct, frozen=True):
    """A connection in numbers. `sent_bytes` and `received_bytes` are those on the wire, with the headers of IP and TCP.

    The headers are an estimate: each segment is counted as one packet with the usual options.
    """

    sent_bytes: int
    received_bytes: int
    acked_bytes: int
    """Of what we sent (without those headers), so much the other side's kernel has."""
    min_rtt_s: float


def tcp_counts(sock: socket.socket) -> TcpCounts | None:
    """The counts of a connected socket; None where it is closed, or no TCP, or the kernel does not count so much."""
    if sock.fileno() < 0:
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    except OSError:
        return None
    if len(info) < _SENT_AT + _SENT.size:
        return None
    acked, received, segments_out, segments_in = _ACKED.unpack_from(info, _ACKED_AT)
    (sent,) = _SENT.unpack_from(info, _SENT_AT)
    (rtt_us,) = _MIN_RTT.unpack_from(info, _MIN_RTT_AT)
    headers = _TCP_HEADER + _IP_HEADERS.get(sock.family, 0)
    rtt_s = 0.0 if rtt_us == 0xFFFFFFFF else rtt_us / 1e6  # not measured yet
    return TcpCounts(sent + segments_out * headers, received + segments_in * headers, acked, rtt_s)
