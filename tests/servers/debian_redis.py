"""Finds or unpacks Debian's redis-server, for tests with a real Redis."""

from __future__ import annotations

from pathlib import Path

from tests.servers.debian_program import DebianProgram

REDIS = DebianProgram(
    "usr/bin/redis-server",
    ["redis-server", "redis-tools", "libjemalloc2", "liblzf1", "libatomic1"],
    {
        "libssl.so.3": ["libssl3t64", "libssl3"],
        "libcrypto.so.3": ["libssl3t64", "libssl3"],
        "libsystemd.so.0": ["libsystemd0"],
        "libcap.so.2": ["libcap2"],
        "libstdc++.so.6": ["libstdc++6"],
        "liblua5.1.so.0": ["liblua5.1-0"],
    },
)


def debian_redis() -> Path | None:
    """The program; None if this machine has none and cannot fetch it."""
    return REDIS.find()
