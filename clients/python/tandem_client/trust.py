"""The TLS certificates of the client: the CA that it trusts, and its own certificate, for HTTP and gRPC."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Trust:
    """Certificate files. ca: of a CA; None for the CAs of the system. cert: of a client certificate and its key."""

    ca: Path | None
    cert: tuple[Path, Path] | None

    @classmethod
    def of(cls, url: str, ca: Path | str | None, cert: tuple[Path | str, Path | str] | None) -> Trust | None:
        """The certificates for an address; None without TLS. ValueError if ca or cert is given without TLS."""
        if urlsplit(url).scheme in {"https", "grpcs"}:
            return cls(Path(ca) if ca else None, (Path(cert[0]), Path(cert[1])) if cert else None)
        if ca or cert:
            raise ValueError(f"{url!r} is an address without TLS; ca and cert need https:// or grpcs://.")
        return None

    def context(self) -> ssl.SSLContext:
        """The context for HTTP; OSError or ssl.SSLError for a file that can't be used."""
        made = ssl.create_default_context(cafile=self.ca)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.cert:
            made.load_cert_chain(*self.cert)
        return made

    def credentials(self) -> Any:
        """The credentials for gRPC; OSError for a file that can't be read."""
        import grpc

        chain, key = (path.read_bytes() for path in self.cert) if self.cert else (None, None)
        return grpc.ssl_channel_credentials(self.ca.read_bytes() if self.ca else None, key, chain)
