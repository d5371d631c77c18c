"""The limits of the gRPC server on connections, calls, message sizes and times, partly as options of grpc.

Each option is described in grpc's include/grpc/impl/channel_arg_names.h.
"""

from __future__ import annotations

from service.schema.errors import MAX_BODY

CONNECTIONS = 1000
"""Connections of a process. grpc closes each further one."""

CALLS = 512
"""Calls of endpoints in flight in a process, with calls whose message is not complete."""

OPEN_ENDED_CALLS = 64
"""Health Watch calls and reflection streams of a process, together. They need no key or have no end."""

CHECKS = 64
"""Health Check calls in flight in a process. They need no key. Beyond it the oldest call is ended."""

MESSAGE_SECONDS = 8.0
"""Time until the message of a call must be complete. grpc waits for it without an end."""

MAX_RECEIVED = 4 * MAX_BODY
"""Bytes of a message that grpc receives. A larger message gets an error of grpc, not the error of the HTTP server."""

METADATA = 8 << 10
"""Bytes of a call's metadata, as HTTP/2 counts them. grpc refuses more with RESOURCE_EXHAUSTED."""

GRACE_SECONDS = 5.0
"""Time for calls in flight when the server stops; then grpc cancels them."""

OPTIONS = (
    ("grpc.so_reuseport", 1),  # the gateway's workers share the port
    ("grpc.max_receive_message_length", MAX_RECEIVED),
    ("grpc.max_metadata_size", METADATA),
    ("grpc.absolute_max_metadata_size", METADATA),  # between the two sizes grpc refuses a random share of the calls
    ("grpc.compression_enabled_algorithms_bitset", 1),  # identity alone: a few kB could unpack to gigabytes
    ("grpc.max_allowed_incoming_connections", CONNECTIONS),
    ("grpc.max_concurrent_streams", 256),
    ("grpc.server_handshake_timeout_ms", 8_000),
    ("grpc.max_connection_idle_ms", 60_000),
    ("grpc.max_connection_age_ms", 3_600_000),
    ("grpc.max_connection_age_grace_ms", 30_000),
    ("grpc.keepalive_time_ms", 30_000),  # finds clients that are gone without a TCP reset
    ("grpc.keepalive_timeout_ms", 7_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 2),
)
"""Options of the server."""
