"""TLS of the HTTP and gRPC servers: the certificate files, their check at the start, and the form each server takes.

TLS 1.2 is the oldest version spoken: it is the default floor of Python's server contexts and of gRPC. Reload of
certificates and client certificates (mTLS) are left to a proxy (docs/security.md).
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys.errors import SettingsError
from recsys.files.watched_file import read_regular_file
from service.settings import Settings

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"
"""TLS 1.2 with forward secrecy and authentication; BentoML's default list is "TLSv1". TLS 1.3 has a list of its own."""


@dataclass(frozen=True, slots=True)
class Tls:
    """A certificate chain and its key, as PEM files."""

    cert: Path
    key: Path

    @classmethod
    def from_settings(cls, settings: Settings) -> Tls | None:
        """The files that the settings name, None for none."""
        cert, key = settings.tls_cert, settings.tls_key
        return cls(cert, key) if cert and key else None

    def check(self) -> None:
        """SettingsError if a file can't be read, or the two are not a certificate and its key."""
        for path in (self.cert, self.key):
            try:
                read_regular_file(path)
            except OSError as error:
                raise SettingsError(f"{path}, named by TANDEM_TLS_*, can't be read: {error.strerror}.") from error
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.cert, self.key, _refuse_password)
        except ssl.SSLError as error:
            reason = (getattr(error, "reason", None) or error.args[-1]).replace("_", " ").lower()
            raise SettingsError(
                f"TANDEM_TLS_CERT={self.cert} and TANDEM_TLS_KEY={self.key} are not a certificate and its key in PEM, "
                f"without a password ({reason})."
            ) from error

    def bentoml_options(self) -> dict[str, Any]:
        """The `ssl` settings of a BentoML service."""
        return {"enabled": True, "certfile": str(self.cert), "keyfile": str(self.key), "ciphers": CIPHERS}

    def uvicorn_options(self) -> dict[str, Any]:
        """The same as arguments of `uvicorn.Config`."""
        return {"ssl_certfile": self.cert, "ssl_keyfile": self.key, "ssl_ciphers": CIPHERS}

    def pem(self) -> tuple[bytes, bytes]:
        """The key and the certificate chain, as `grpc.ssl_server_credentials` takes a pair."""
        return self.key.read_bytes(), self.cert.read_bytes()


def _refuse_password() -> str:
    raise ssl.SSLError(0, "the key has a password")
