"""What the settings say of the edge: whether there are keys, and what has to be before anything listens."""

from __future__ import annotations

import ipaddress
import logging
from pathlib import Path

from recsys.environment import Environment
from recsys.errors import SettingsError
from service.auth.guard import KeyGuard
from service.auth.key_file import KeyFile
from service.auth.rate_limits import RateLimits
from service.ports import place, require_apart, require_free
from service.settings import Settings

logger = logging.getLogger("tandem")

UNGUARDED = "none"
"""What TANDEM_KEYS is where something else guards the port."""


def keys_required(settings: Settings) -> bool:
    """Whether callers need a key."""
    return settings.keys not in {"", UNGUARDED}


def admin_address(settings: Settings) -> str:
    """Where the admin port is, in words."""
    if not settings.admin_port:
        return "there is no admin port (TANDEM_ADMIN_PORT=0)"
    return f"over HTTP, the admin port {place(settings.admin_host, settings.admin_port)} answers it"


def check(settings: Settings, *hosts: str) -> None:
    """Whether these hosts may be bound.

    SettingsError where two doors have one port, others than this machine could ask without a key, the keys can't be
    read, or the admin port is taken.
    """
    doors = {"PORT": settings.port, "GRPC_PORT": settings.grpc_port}
    require_apart(**doors, **({"TANDEM_ADMIN_PORT": settings.admin_port} if keys_required(settings) else {}))
    if keys_required(settings):
        if not KeyFile(Path(settings.keys)).current.entries:
            logger.warning("%s has no key: nobody is let in.", settings.keys)
        if settings.admin_port:
            require_free(settings.admin_host, settings.admin_port, "TANDEM_ADMIN_PORT", "TANDEM_ADMIN_HOST")
        return
    for host in hosts:
        if settings.keys != UNGUARDED and not is_loopback(host):
            raise SettingsError(
                f"On {host} others than this machine could ask, and no key is needed. Name a file of keys in "
                "TANDEM_KEYS (python -m service keys add NAME) or bind 127.0.0.1; TANDEM_KEYS=none says that something "
                "else guards the ports."
            )


def is_ip_address(host: str) -> bool:
    """Whether it is no name; BentoML binds addresses alone."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def prepare(settings: Settings, environment: Environment) -> None:
    """Once, in the parent of all workers: keep the keys in force for those that start later, and count from now."""
    if keys_required(settings):
        folder = environment.folder("cache")
        KeyFile(Path(settings.keys), last=_last(folder))
        try:
            RateLimits.create(_limits(folder))
        except OSError as error:
            raise SettingsError(f"{_limits(folder)} can't be written ({error.strerror}).") from error


def key_guard(settings: Settings, environment: Environment) -> KeyGuard | None:
    """What lets callers in, in a worker; None where nobody needs a key."""
    if not keys_required(settings):
        return None
    folder = environment.folder("cache")
    return KeyGuard(KeyFile(Path(settings.keys), last=_last(folder)), RateLimits(_limits(folder)))


def _last(folder: Path) -> Path:
    return folder / "keys.last.toml"


def _limits(folder: Path) -> Path:
    return folder / "limits"
