"""What both ends of every connection agree on: the size of messages, and keepalive.

A peer that vanishes without a word (power, cable, a frozen machine) is noticed by pings, on a
stream that waits as well as on one that sends. Servers allow pings twice as often as clients
send them, also while no call runs, so that none of them is answered with GOAWAY
(too_many_pings). Connections have no greatest age: a live session may last for days.

An engine that is not Shoal's must be told to allow the same; for Triton:
`--grpc-http2-min-recv-ping-interval-without-data=5000 --grpc-keepalive-permit-without-calls=1`.
"""

from dataclasses import dataclass

Options = tuple[tuple[str, int], ...]

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""Largest message either way; larger things are streamed in parts or named by reference."""

MESSAGE_OPTIONS: Options = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
)


@dataclass(frozen=True)
class Keepalive:
    """When a silent peer is asked whether it lives, and for how long."""

    interval_ms: int = 10_000
    """Silence after which a ping is sent."""
    timeout_ms: int = 10_000
    """Time that the peer has to answer it; then its calls end with UNAVAILABLE."""

    @property
    def client_options(self) -> Options:
        """Options of a channel."""
        return self._both_ends

    @property
    def server_options(self) -> Options:
        """Options of a server."""
        least_interval = ("grpc.http2.min_ping_interval_without_data_ms", self.interval_ms // 2)
        return (*self._both_ends, least_interval)

    @property
    def _both_ends(self) -> Options:
        return (
            ("grpc.keepalive_time_ms", self.interval_ms),
            ("grpc.keepalive_timeout_ms", self.timeout_ms),
            # The one that counts when nothing at all comes back; gRPC's own is a minute.
            ("grpc.http2.ping_timeout_ms", self.timeout_ms),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
        )


KEEPALIVE = Keepalive()
"""That of every channel and every server: a vanished peer is noticed within 20 s."""
