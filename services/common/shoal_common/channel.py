"""Outgoing channels: one per peer for the life of the process."""

from importlib import resources

import grpc

from shoal_common.traced_channel import TracedChannel, TracedSyncChannel
from shoal_common.transport import KEEPALIVE, MESSAGE_OPTIONS


def open_channel(target: str) -> grpc.aio.Channel:
    """Returns a channel to `host:port` or `unix:/path`; it connects when first used.

    Retries follow `retry.json` beside the protos: idempotent methods only. Calls carry the
    trace that they run under, or a new one.
    """
    return TracedChannel(grpc.aio.insecure_channel(target, options=channel_options()))


def open_sync_channel(target: str, trace_id: str | None = None) -> grpc.Channel:
    """Returns the like of `open_channel` for callers without an event loop.

    Calls that run under no trace go under `trace_id`.
    """
    return TracedSyncChannel(grpc.insecure_channel(target, options=channel_options()), trace_id)


def channel_options() -> list[tuple[str, int | str]]:
    """Returns the options of every channel of the project."""
    retry_policy = (resources.files("shoal") / "retry.json").read_text()
    return [
        *MESSAGE_OPTIONS,
        *KEEPALIVE.client_options,
        ("grpc.service_config", retry_policy),
        ("grpc.initial_reconnect_backoff_ms", 50),
        # Not a backoff, for all its name: the time that one attempt to connect has, greeting
        # included. A peer that is far away or busy needs more than a moment.
        ("grpc.min_reconnect_backoff_ms", 5000),
        # Peers start together: the last one that is there must not be found a second later.
        ("grpc.max_reconnect_backoff_ms", 200),
        # Peers are named explicitly; a proxy of the environment must not sit between them.
        ("grpc.enable_http_proxy", 0),
    ]
