"""The certificate authority of a stack, for development: it makes identities and takes them back.

An identity is a PEM text of a private key (ECDSA P-256) and a certificate for it, so that whoever reads the
file has two that belong together.
"""

import ipaddress
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["LIFETIME", "Authority", "spiffe_id", "write"]

LIFETIME = timedelta(hours=24)
"""Of an identity; half of it after it has been renewed."""
LIFETIME_OF_AUTHORITY = timedelta(days=3650)
LIFETIME_OF_LIST = timedelta(days=7)
CLOCK_SKEW = timedelta(minutes=1)


def spiffe_id(name: str) -> str:
    """Return the identity of a workload of the stack."""
    return f"spiffe://inventory.local/ns/inventory/sa/{name}"


class Authority:
    """An authority that keeps its key in a folder; a new one if the folder holds none.

    Two processes must not change one authority at once.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key_file = folder / "authority.pem"
        self._list_file = folder / "revoked.pem"
        if not self._key_file.exists():
            write(self._key_file, _new_authority())
        pem = self._key_file.read_bytes()
        key = load_pem_private_key(pem, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{self._key_file} is no key of an elliptic curve")
        self._key = key
        self._certificate = x509.load_pem_x509_certificate(pem)

    @property
    def certificate(self) -> bytes:
        """The authority's certificate, PEM."""
        return self._certificate.public_bytes(Encoding.PEM)

    def issue(self, name: str, lifetime: timedelta = LIFETIME) -> bytes:
        """Return a new identity of a workload, to be used as server and as client."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        names = x509.SubjectAlternativeName(
            [
                x509.UniformResourceIdentifier(spiffe_id(name)),
                x509.DNSName("localhost"),
                x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            ]
        )
        usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCK_SKEW)
            .not_valid_after(now + lifetime)
            .add_extension(names, critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_others=False), critical=True)
            .add_extension(usages, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return _private(key) + certificate.public_bytes(Encoding.PEM)

    def revoke(self, certificate: x509.Certificate) -> None:
        """Take a certificate back: it is in every list from now on."""
        if certificate.serial_number not in {one.serial_number for one in self._revoked()}:
            entry = (
                x509.RevokedCertificateBuilder()
                .serial_number(certificate.serial_number)
                .revocation_date(datetime.now(UTC))
                .build()
            )
            write(self._list_file, self._list([*self._revoked(), entry]))

    def revoked(self) -> bytes:
        """Return a new list of what has been revoked, PEM."""
        return self._list(self._revoked())

    def _revoked(self) -> Sequence[x509.RevokedCertificate]:
        if not self._list_file.exists():
            return []
        return list(x509.load_pem_x509_crl(self._list_file.read_bytes()))

    def _list(self, revoked: Sequence[x509.RevokedCertificate]) -> bytes:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(now - CLOCK_SKEW)
            .next_update(now + LIFETIME_OF_LIST)
        )
        for one in revoked:
            builder = builder.add_revoked_certificate(one)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)


def write(path: Path, content: bytes) -> None:
    """Put a file in place at once, whole, readable by its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    draft.replace(path)


def _new_authority() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("Inventory development authority")
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + LIFETIME_OF_AUTHORITY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_others=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _private(key) + certificate.public_bytes(Encoding.PEM)


def _key_usage(*, signs_others: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_others,
        key_cert_sign=signs_others,
        crl_sign=signs_others,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
