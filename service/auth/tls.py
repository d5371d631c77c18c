"""Certificates of both doors: read and checked before anything starts, and read anew where their files change.

TLS 1.2 and 1.3 alone, with forward secrecy and authenticated ciphers: BentoML's default cipher list is "TLSv1".
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys.errors import SettingsError
from recsys.followed import bytes_of
from service.edge import bounds
from service.settings import Settings

logger = logging.getLogger("tandem")

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"
"""Of TLS 1.2; those of 1.3 are all as good, and have a list of their own."""

CLOSE_SECONDS = 1.0
"""For the client's part in the end of a connection."""

LOOK_SECONDS = 5.0
"""How often the files are looked at."""


@dataclass(frozen=True, slots=True)
class Tls:
    """The files; client_ca: of those whose certificates clients have to show, None where they show none."""

    cert: Path
    key: Path
    client_ca: Path | None

    @classmethod
    def of(cls, settings: Settings) -> Tls | None:
        """As the settings have it, None for none; SettingsError for half of it."""
        cert, key, client_ca = settings.tls_cert, settings.tls_key, settings.tls_client_ca
        if cert is None and key is None:
            if client_ca is not None:
                raise SettingsError("TANDEM_TLS_CLIENT_CA asks for TLS: set TANDEM_TLS_CERT and TANDEM_TLS_KEY too.")
            return None
        if cert is None or key is None:
            there, missing = ("KEY", "CERT") if cert is None else ("CERT", "KEY")
            raise SettingsError(f"TANDEM_TLS_{there} is set and TANDEM_TLS_{missing} is not; a door takes both.")
        return cls(cert, key, client_ca)

    def context(self) -> ssl.SSLContext:
        """For a server that reads these files now; SettingsError names what is wrong with which."""
        for path in filter(None, (self.cert, self.key, self.client_ca)):
            _require_readable(path)
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        made.set_ciphers(CIPHERS)
        made.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_COMPRESSION
        self._load(made)
        if self.client_ca is not None:
            # Whoever shows none gets as far as the probes, which orchestrators ask and can't show one to: see
            # `connection`. Whoever shows a wrong one gets nowhere.
            made.verify_mode = ssl.CERT_OPTIONAL
            try:
                made.load_verify_locations(self.client_ca)
            except ssl.SSLError as error:
                raise SettingsError(f"TANDEM_TLS_CLIENT_CA={self.client_ca} holds no certificate in PEM.") from error
        return made

    def _load(self, into: ssl.SSLContext) -> None:
        try:
            into.load_cert_chain(self.cert, self.key, _no_password)
        except ssl.SSLError as error:
            reason = (getattr(error, "reason", None) or error.args[-1]).replace("_", " ").lower()
            raise SettingsError(
                f"TANDEM_TLS_CERT={self.cert} and TANDEM_TLS_KEY={self.key} are no pair of a certificate and its key "
                f"in PEM, without a password ({reason})."
            ) from error
        except OSError as error:
            raise SettingsError(f"TANDEM_TLS_CERT or TANDEM_TLS_KEY can't be read: {error.strerror}.") from error

    def stamp(self) -> tuple[tuple[int, int, int], ...]:
        """Changes where a file was replaced."""
        stats = [path.stat() for path in (self.cert, self.key, self.client_ca) if path is not None]
        return tuple((each.st_mtime_ns, each.st_size, each.st_ino) for each in stats)

    def of_rpc(self) -> ssl.SSLContext:
        """The gRPC door's, which looks at the files with each new connection; a wrong pair leaves the last in force."""
        return _Followed.begin(self)

    def rpc_context(self) -> ssl.SSLContext:
        """As `context`, for HTTP/2, and no client is let in without a certificate where they have to show one."""
        made = self.context()
        made.set_alpn_protocols(["h2"])
        if self.client_ca is not None:
            made.verify_mode = ssl.CERT_REQUIRED
        return made

    def of_bentoml(self) -> dict[str, Any]:
        """As BentoML's configuration of a service has it; `TlsServer` makes the context of it."""
        return {
            "enabled": True,
            "certfile": str(self.cert),
            "keyfile": str(self.key),
            "ciphers": CIPHERS,
            **({"ca_certs": str(self.client_ca), "cert_reqs": int(ssl.CERT_OPTIONAL)} if self.client_ca else {}),
        }


class _Newest(ssl.SSLContext):
    """Gives each new connection to the context that was read last; a context forgets no CA, nor whom it let in."""

    def __new__(cls, newest: ssl.SSLContext) -> _Newest:
        """For a server."""
        made = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        made.newest = newest
        return made

    newest: ssl.SSLContext

    def wrap_bio(self, *args: Any, **more: Any) -> ssl.SSLObject:
        """As both asyncio and uvloop begin a connection."""
        return self.newest.wrap_bio(*args, **more)


class _Followed(_Newest):
    """Reads files anew that have changed."""

    _tls: Tls
    _stamp: object

    @classmethod
    def begin(cls, tls: Tls) -> _Followed:
        """With the files as they are."""
        stamp = tls.stamp()  # before they are read: what is replaced meanwhile is read again
        made = cls(tls.rpc_context())
        made._tls, made._stamp = tls, stamp
        return made

    def wrap_bio(self, *args: Any, **more: Any) -> ssl.SSLObject:
        """As above."""
        with suppress(SettingsError, OSError):
            if (now := self._tls.stamp()) != self._stamp:
                self.newest = self._tls.rpc_context()
                self._stamp = now
        return super().wrap_bio(*args, **more)


class TlsServer:
    """What uvicorn is given in place of the context that it would make, and the watch over its files."""

    def __init__(self, tls: Tls) -> None:
        self.tls = tls
        self._servers: list[_Newest] = []

    def take_place(self) -> None:
        """Of uvicorn's `create_ssl_context`, which knows no least version."""
        from uvicorn import config

        config.create_ssl_context = self._make

    def _make(self, *_: object, **__: object) -> ssl.SSLContext:
        made = _Newest(self.tls.context())
        self._servers.append(made)
        return made

    def hurry(self) -> None:
        """Have servers of this loop wait for a handshake as long as for a head; uvicorn leaves it at a minute."""
        loop = asyncio.get_running_loop()
        create: Callable[..., Awaitable[Any]] = loop.create_server

        def hurried(*args: Any, **more: Any) -> Awaitable[Any]:
            if more.get("ssl") is not None:
                more |= {"ssl_handshake_timeout": bounds.HANDSHAKE_SECONDS, "ssl_shutdown_timeout": CLOSE_SECONDS}
            return create(*args, **more)

        loop.create_server = hurried  # type: ignore[assignment, method-assign]  # an overloaded one

    async def watch(self) -> None:
        """Read the files anew whenever they change; a pair that is none is told once, and the last stays in force."""
        last = self.tls.stamp()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            with suppress(OSError):  # it is being replaced
                if (now := self.tls.stamp()) == last:
                    continue
                last = now
                try:
                    self._renew()
                except Exception:
                    logger.exception("The certificate can't be read anew.")  # and is again, when it changes

    def _renew(self) -> None:
        try:
            newest = self.tls.context()
        except SettingsError as error:
            logger.error("%s The certificate read before stays in force.", error)
            return
        for server in self._servers:
            server.newest = newest
        logger.info("The certificate was read anew.")


def _require_readable(path: Path) -> None:
    try:
        bytes_of(path)
    except OSError as error:
        raise SettingsError(f"{path}, named by TANDEM_TLS_*, can't be read: {error.strerror}.") from error


def _no_password() -> str:
    raise ssl.SSLError(0, "the key has a password")
