"""TLS certificates for tests: a certificate authority, and the server and client certificates that it issues."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


class Authority:
    """An authority. ca: the file of its certificate."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.ca = self._folder / f"{name}.pem"
        _write(self.ca, self._certificate(name, self._key, x509.BasicConstraints(ca=True, path_length=None)))

    def issue(self, name: str, *, server: bool = True) -> tuple[Path, Path]:
        """Files of a certificate for 127.0.0.1, or of a client, and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        there = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        more = [x509.ExtendedKeyUsage([usage]), *([x509.SubjectAlternativeName(there)] if server else [])]
        cert, at = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        _write(cert, self._certificate(name, key, x509.BasicConstraints(ca=False, path_length=None), *more))
        form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        at.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
        return cert, at

    def _certificate(
        self, name: str, key: ec.EllipticCurvePrivateKey, *extensions: x509.ExtensionType
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._name)]),
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
            key.public_key(),
            x509.random_serial_number(),
            now - DAY,
            now + DAY,
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(self._key, hashes.SHA256())


def _write(path: Path, certificate: x509.Certificate) -> None:
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
