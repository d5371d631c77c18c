"""Ports that the doors listen on."""

from __future__ import annotations

import socket

from recsys.errors import SettingsError


def require_free(host: str, port: int, variable: str) -> None:
    """SettingsError where somebody listens there, sharing the port (`SO_REUSEPORT`) or not; names the variable."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            place = f"{host}:{port}"
            raise SettingsError(
                f"{place} can't be bound ({error.strerror}). Choose another port: {variable}=..."
            ) from error
