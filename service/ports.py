"""Ports that the doors listen on."""

from __future__ import annotations

import errno
import socket

from recsys.errors import SettingsError

NOT_OURS = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL}
"""What the system says of an address that is none of this machine's."""


def place(host: str, port: int) -> str:
    """As URLs have it: an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def require_free(host: str, port: int, variable: str, host_variable: str = "TANDEM_HOST") -> None:
    """SettingsError where it is no address of this machine, or somebody listens there, sharing the port or not."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, UnicodeError, TypeError) as error:  # the last two of what is no name at all
            reason = getattr(error, "strerror", None) or "it is no name"
            if not isinstance(error, OSError) or isinstance(error, socket.gaierror) or error.errno in NOT_OURS:
                raise SettingsError(
                    f"{host_variable}={host} is no address of this machine ({reason}). Name one without a port, such "
                    "as 127.0.0.1, or 0.0.0.0 for all."
                ) from error
            raise SettingsError(
                f"{place(host, port)} can't be bound ({reason}). Choose another port: {variable}=..."
            ) from error


def require_apart(**ports: int) -> None:
    """SettingsError where two doors have one port, which both could bind; by the variable, 0 for none.

    Whichever address each binds: with one of them on 0.0.0.0 a client would reach either by chance.
    """
    seen: dict[int, str] = {}
    for variable, port in ports.items():
        if port and port in seen:
            raise SettingsError(f"{seen[port]} and {variable} are both {port}. Choose another port: {variable}=...")
        seen[port] = variable
