"""Read a Redis URL: the address that errors name, and the Sentinels that name the primary of a replicated Redis.

| URL | store |
|---|---|
| redis://user:password@host:6379/0, rediss:// with TLS, unix:///a/path | one server |
| redis+sentinel://user:password@host1:26379,host2:26379/SERVICE | the primary of a service, which Sentinels name |

With rediss+sentinel:// the servers and the Sentinels have TLS. The option db names another database of the service than
0. The option sentinel_password, with or without sentinel_username, is for Sentinels with a password of their own. Other
options after the ? are redis-py's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import redis
from redis.connection import parse_url

from recsys.errors import SettingsError

_SENTINEL_PORT = 26379
_SENTINEL_SCHEMES = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}
_OF_SENTINELS = {"sentinel_username": "username", "sentinel_password": "password"}


@dataclass(frozen=True, slots=True)
class SentinelUrl:
    """The Sentinels of a URL and the name of the service. Both dictionaries hold options of redis-py's connections."""

    hosts: tuple[tuple[str, int], ...]
    service: str
    server_options: dict[str, Any]
    sentinel_options: dict[str, Any]


def sentinel_url(url: str) -> SentinelUrl | None:
    """The parts of a URL of Sentinels; None for a URL of one server. ValueError if the URL can't be read."""
    parts = urlsplit(url)
    if parts.scheme not in _SENTINEL_SCHEMES:
        return None
    user, at, places = parts.netloc.rpartition("@")
    hosts = [urlsplit(f"//{place}") for place in places.split(",")]
    named = tuple((host.hostname or "", host.port or _SENTINEL_PORT) for host in hosts)
    service = unquote(parts.path.strip("/"))
    if not service or "/" in service or not all(host for host, _ in named):
        raise ValueError("a host or the name of the service is missing, or a database is in the path")
    first = urlunsplit((_SENTINEL_SCHEMES[parts.scheme], f"{user}{at}{hosts[0].netloc}", "", parts.query, ""))
    options = parse_url(first)  # type: ignore[no-untyped-call]  # redis-py has no hint for it
    own = {_OF_SENTINELS[name]: options.pop(name) for name in _OF_SENTINELS if name in options}
    for name in ("host", "port", "connection_class"):
        options.pop(name, None)
    tls = {name: value for name, value in options.items() if name.startswith("ssl_")}
    if parts.scheme == "rediss+sentinel":
        options["ssl"] = tls["ssl"] = True
    return SentinelUrl(named, service, options, own | tls)


def address(url: str) -> str:
    """The address in a Redis URL, without user and password.

    SettingsError for a malformed URL. The error does not repeat the URL, because a typo may put the password anywhere.
    """
    try:
        sentinels = sentinel_url(url)
        parts = {} if sentinels else parse_url(url)  # type: ignore[no-untyped-call]
    except ValueError:
        sentinels, parts = None, {}
    if (sentinels or parts) and not _options_are_valid(url, sentinels):
        raise SettingsError(
            "REDIS_URL has an option behind its ? that redis-py does not accept, or a wrong value of one. Take it out, "
            "or write one that it accepts, such as ssl_ca_certs=FILE; a ? of the password is written %3F."
        )
    scheme = urlsplit(url).scheme if sentinels or parts else ""
    if sentinels:
        return f"{scheme}://{','.join(_place(*host) for host in sentinels.hosts)}/{sentinels.service}"
    if scheme == "unix" and parts.get("path"):
        return f"unix://{parts['path']}"
    if scheme in ("redis", "rediss") and parts.get("host"):
        return f"{scheme}://{_place(parts['host'], parts.get('port', 6379))}"
    raise SettingsError(
        "REDIS_URL can't be read. It looks like redis://host:6379/0, rediss://:password@host:6380/0, unix:///a/path or"
        " redis+sentinel://host1:26379,host2:26379/SERVICE, where ?db=1 behind SERVICE names another database than 0;"
        " a password with special characters is percent-encoded."
    )


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _options_are_valid(url: str, sentinels: SentinelUrl | None) -> bool:
    """Whether redis-py accepts the URL's options; by itself it checks them only when it connects."""
    try:
        if sentinels is None:
            redis.ConnectionPool.from_url(url).make_connection()
        for options in (sentinels.server_options, sentinels.sentinel_options) if sentinels else ():
            redis.Redis(**options).connection_pool.make_connection()
    except (TypeError, ValueError, redis.RedisError):
        return False
    return True
