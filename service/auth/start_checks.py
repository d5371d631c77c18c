"""Start checks of the server: its ports are free, its API keys are valid, and no other machine gets in without a key.

The module also makes the API-key check of each worker process.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import psutil

from recsys.environment import Environment
from recsys.errors import SettingsError
from service.auth.key_check import KeyCheck
from service.auth.key_file import KeyFile
from service.auth.rate_limits import RateLimits
from service.settings import Settings, place

logger = logging.getLogger("tandem")

_NO_ADDRESS = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL}
"""Errors of the system for a host that is no address of this machine."""

_holders: list[socket.socket] = []
"""Sockets of the workers' parent that hold the gRPC port and the admin port; they do not listen."""

UNGUARDED = "none"
"""The value of TANDEM_KEYS if a proxy or a mesh guards the ports."""


def keys_required(settings: Settings) -> bool:
    """Whether requests need a key."""
    return settings.keys not in {"", UNGUARDED}


def admin_address(settings: Settings) -> str:
    """Where the admin endpoints are served, for an error message."""
    if not settings.admin_port:
        return "no port (TANDEM_ADMIN_PORT=0)"
    return f"the admin port {place(settings.admin_host, settings.admin_port)}"


def http_port(settings: Settings) -> int:
    """The port of the HTTP server: of `bentoml serve --port`, else of the settings."""
    port: int | None = _command_line().get("port")
    return port or settings.port


def check(settings: Settings) -> None:
    """Check ports, keys and hosts in the parent of all workers.

    SettingsError if two servers have one port, the file of keys is wrong, the admin port is taken, other machines would
    reach a server without a key, or the command line of BentoML changes HTTP and not gRPC.
    """
    doors = {"PORT": http_port(settings), "GRPC_PORT": settings.grpc_port}
    _require_apart(**doors, **({"TANDEM_ADMIN_PORT": settings.admin_port} if keys_required(settings) else {}))
    if keys_required(settings):
        if not KeyFile(Path(settings.keys)).current.records:
            logger.warning("%s has no key: every request is refused.", settings.keys)
        if settings.admin_port:
            require_free(*_admin_port(settings))
    require_guarded(settings, settings.host, _command_line().get("host") or settings.host)
    require_same_doors(settings, _command_line())


def check_listening(settings: Settings) -> None:
    """Check the addresses that this process listens on, from any source of BentoML's configuration."""
    connections = psutil.Process().net_connections("inet")
    require_guarded(settings, *(each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN))


def require_guarded(settings: Settings, *hosts: str) -> None:
    """SettingsError if other machines reach one of these hosts and nothing guards the ports."""
    for host in hosts:
        if not settings.keys and not is_loopback(host):
            raise SettingsError(
                f"Other machines can connect to {host}, and no key is needed. Name a file of keys in TANDEM_KEYS "
                "(python -m service keys add NAME), or bind 127.0.0.1. TANDEM_KEYS=none states that a proxy or a mesh "
                "guards the ports."
            )


def require_same_doors(settings: Settings, options: dict[str, Any]) -> None:
    """SettingsError if an option of `bentoml serve` changes the HTTP server and not the gRPC server.

    `--port` is allowed: it moves the HTTP server, and the gRPC server has a port of its own.
    """
    if any(value is not None for name, value in options.items() if name.startswith("ssl_")):
        raise SettingsError(
            "bentoml serve --ssl-... sets TLS for HTTP alone. Set TANDEM_TLS_CERT and TANDEM_TLS_KEY instead: they "
            "hold for HTTP and gRPC."
        )
    host = options.get("host")
    same = host in (None, settings.host) or (host == "localhost" and is_loopback(settings.host))
    if not same:
        raise SettingsError(
            f"bentoml serve --host {host} (or BENTOML_HOST) sets the address of HTTP alone; gRPC stays on "
            f"{settings.host}. Set TANDEM_HOST={host} instead: it holds for HTTP and gRPC."
        )


def require_free(host: str, port: int, variable: str, host_variable: str = "TANDEM_HOST") -> None:
    """SettingsError if the host is no address of this machine, or a process listens on the port, shared or not."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, UnicodeError, TypeError) as error:  # the last two for a host that is no name
            reason = getattr(error, "strerror", None) or "it is no name"
            if not isinstance(error, OSError) or isinstance(error, socket.gaierror) or error.errno in _NO_ADDRESS:
                raise SettingsError(
                    f"{host_variable}={host} is no address of this machine ({reason}). Name one without a port, such "
                    "as 127.0.0.1, or 0.0.0.0 for all."
                ) from error
            raise SettingsError(
                f"{place(host, port)} can't be bound ({reason}). Choose another port: {variable}=..."
            ) from error


def _hold(host: str, port: int, variable: str, host_variable: str = "TANDEM_HOST") -> None:
    """Hold a free port until this process ends; SettingsError if another deployment holds the port.

    The workers bind the port with SO_REUSEPORT some seconds later. Without a holder a second deployment, started
    meanwhile, would find the port free and share it.
    """
    require_free(host, port, variable, host_variable)
    holder = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # not SO_REUSEADDR, which `require_free` would share
    with suppress(OSError):  # connections that an earlier program closed keep the port for a minute
        holder.bind((host, port))
    _holders.append(holder)


def _require_apart(**ports: int) -> None:
    """SettingsError if two servers have one port; ports: by the variable, 0 for a server that is not started.

    The addresses do not matter: if one server binds 0.0.0.0, a client would reach either server by chance.
    """
    seen: dict[int, str] = {}
    for variable, port in ports.items():
        if port and port in seen:
            raise SettingsError(f"{seen[port]} and {variable} are both {port}. Choose another port: {variable}=...")
        seen[port] = variable


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None  # gRPC's form of 127.0.0.1
    return (mapped or address).is_loopback


def prepare(settings: Settings, environment: Environment) -> None:
    """Check everything, hold the ports, store the keys and create the file of rates, once, in the workers' parent."""
    check(settings)
    os.environ["PORT"] = str(http_port(settings))  # the workers log it
    require_free(settings.host, http_port(settings), "PORT")  # BentoML would show a traceback
    if settings.grpc_port:
        _hold(settings.host, settings.grpc_port, "GRPC_PORT")
    if keys_required(settings):
        if settings.admin_port:
            _hold(*_admin_port(settings))
        folder = environment.folder("cache")
        KeyFile(Path(settings.keys), last=_last(folder))
        try:
            RateLimits.create(_limits(folder))
        except OSError as error:
            raise SettingsError(f"{_limits(folder)} can't be written ({error.strerror}).") from error


def key_check(settings: Settings, environment: Environment) -> KeyCheck | None:
    """The key check of a worker; None if no request needs a key."""
    if not keys_required(settings):
        return None
    folder = environment.folder("cache")
    return KeyCheck(KeyFile(Path(settings.keys), last=_last(folder)), RateLimits(_limits(folder)))


def _command_line() -> dict[str, Any]:
    """The options of `bentoml serve`, with those of BENTOML_HOST and BENTOML_PORT; none in other commands."""
    command = click.get_current_context(silent=True)
    return command.params if command else {}


def _admin_port(settings: Settings) -> tuple[str, int, str, str]:
    return settings.admin_host, settings.admin_port, "TANDEM_ADMIN_PORT", "TANDEM_ADMIN_HOST"


def _last(folder: Path) -> Path:
    return folder / "keys.last.toml"


def _limits(folder: Path) -> Path:
    return folder / "limits"
