"""Certificates for development: an authority of one's own, a server and a client certificate that it issued.

Not for production: the authority's key lies beside what it signs, and nobody renews or revokes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fhir_coder.errors import CertificateError

_DAYS = 825  # the longest that common clients accept of a server
_HOSTS = ("localhost", "127.0.0.1", "::1")
_EARLIER = timedelta(hours=1)  # clocks differ


@dataclass(frozen=True, slots=True)
class Pair:
    """The files of a certificate and of its key."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Certificates:
    """The files of a folder of development certificates."""

    authority: Pair
    server: Pair
    client: Pair
    made: bool  # now; else they were there

    @classmethod
    def of(cls, folder: Path, *, made: bool) -> Certificates:
        """Return the files of a folder."""
        authority, server, client = (
            Pair(folder / f"{name}.pem", folder / f"{name}.key") for name in ("ca", "server", "client")
        )
        return cls(authority, server, client, made)

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files."""
        return tuple(
            path for pair in (self.authority, self.server, self.client) for path in (pair.certificate, pair.key)
        )


def make_certificates(folder: Path, hosts: Sequence[str] = (), *, force: bool = False) -> Certificates:
    """Write the certificates into a folder, the server's for this machine and `hosts` (names or addresses).

    What is there is kept, unless `force` is given. Keys can be read by their owner only.

    Raises `CertificateError` when only some of the files are there, a host is none, or the folder cannot be written.
    """
    there = [path for path in Certificates.of(folder, made=False).paths if path.exists()]
    if there and not force:
        return _kept(folder, there)
    alternatives = [_alternative(host) for host in dict.fromkeys((*_HOSTS, *hosts))]
    made = Certificates.of(folder, made=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_all(made, alternatives)
    except OSError as error:
        raise CertificateError(f"{folder} cannot be written: {error.strerror}") from error
    return made


def _kept(folder: Path, there: Sequence[Path]) -> Certificates:
    kept = Certificates.of(folder, made=False)
    missing = [path.name for path in kept.paths if path not in there]
    if missing:
        raise CertificateError(f"{folder} lacks {', '.join(missing)}: make all of them anew with --force")
    return kept


def _write_all(files: Certificates, alternatives: Sequence[x509.GeneralName]) -> None:
    authority_key, server_key, client_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    issuer = _name("fhir-coder development authority")
    authority = (
        _builder(issuer, issuer, authority_key.public_key(), authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )

    def issued(name: str, key: ec.EllipticCurvePrivateKey, purpose: x509.ObjectIdentifier) -> x509.CertificateBuilder:
        return (
            _builder(_name(name), issuer, key.public_key(), authority_key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        )

    server = issued("fhir-coder development server", server_key, ExtendedKeyUsageOID.SERVER_AUTH)
    server = server.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    client = issued("fhir-coder development client", client_key, ExtendedKeyUsageOID.CLIENT_AUTH)
    _write(files.authority, authority, authority_key)
    _write(files.server, server.sign(authority_key, hashes.SHA256()), server_key)
    _write(files.client, client.sign(authority_key, hashes.SHA256()), client_key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, issuer_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + timedelta(days=_DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        pass
    try:
        if not host or any(character.isspace() for character in host):
            raise ValueError
        return x509.DNSName(host.encode("idna").decode())
    except ValueError as error:
        raise CertificateError(f"{host!r} is neither a host's name nor an IP address") from error


def _write(pair: Pair, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pair.key.unlink(missing_ok=True)  # one that others may read would keep its mode
    with open(os.open(pair.key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(private)
    pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
