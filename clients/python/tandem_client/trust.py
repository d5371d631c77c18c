"""Whom a client believes, and what it shows of itself, where it speaks TLS."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Trust:
    """ca: file of a CA, the system's where it is None. cert: files of a certificate and its key."""

    ca: Path | None
    cert: tuple[Path, Path] | None

    @classmethod
    def of(cls, url: str, ca: Path | str | None, cert: tuple[Path | str, Path | str] | None) -> Trust | None:
        """For an address, None where it is without TLS; ValueError where that would leave the rest unused."""
        if urlsplit(url).scheme in {"https", "grpcs"}:
            return cls(Path(ca) if ca else None, (Path(cert[0]), Path(cert[1])) if cert else None)
        if ca or cert:
            raise ValueError(f"{url!r} is spoken to without TLS; ca and cert take https:// or grpcs://.")
        return None

    def context(self) -> ssl.SSLContext:
        """For HTTP; OSError or ssl.SSLError where a file is none."""
        made = ssl.create_default_context(cafile=self.ca)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.cert:
            made.load_cert_chain(*self.cert)
        return made

    def credentials(self) -> Any:
        """For gRPC; OSError where a file is none."""
        import grpc

        chain, key = (path.read_bytes() for path in self.cert) if self.cert else (None, None)
        return grpc.ssl_channel_credentials(self.ca.read_bytes() if self.ca else None, key, chain)
