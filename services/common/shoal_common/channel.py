"""Outgoing channels: one per peer for the life of the process."""

from importlib import resources

import grpc

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""Largest message either way; larger things are streamed in parts or named by reference."""

MESSAGE_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
)


def open_channel(target: str) -> grpc.aio.Channel:
    """Returns a channel to `host:port` or `unix:/path`; it connects when first used.

    Retries follow `retry.json` beside the protos: idempotent methods only.
    """
    return grpc.aio.insecure_channel(target, options=_channel_options())


def open_sync_channel(target: str) -> grpc.Channel:
    """Returns the like of `open_channel` for callers without an event loop."""
    return grpc.insecure_channel(target, options=_channel_options())


def _channel_options() -> list[tuple[str, int | str]]:
    retry_policy = (resources.files("shoal") / "retry.json").read_text()
    return [
        *MESSAGE_OPTIONS,
        ("grpc.service_config", retry_policy),
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.min_reconnect_backoff_ms", 50),
        ("grpc.max_reconnect_backoff_ms", 1000),
        # Peers are named explicitly; a proxy of the environment must not sit between them.
        ("grpc.enable_http_proxy", 0),
    ]
