"""The key by which this program is known to authorization servers, and its public half as a JWKS.

Source: SMART App Launch 2.2, client-confidential-asymmetric (ES384 and RS384), RFC 7517, RFC 7638.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from fhir_coder.errors import SettingsError

_SHORTEST_RSA = 2048  # bits


@dataclass(frozen=True, slots=True)
class SmartKey:
    """A private key with its algorithm and its id (the thumbprint of RFC 7638)."""

    algorithm: str  # ES384, RS384
    id: str
    private: ECKey | RSAKey = field(repr=False)

    @property
    def jwks(self) -> dict[str, Any]:
        """What is registered with the authorization server."""
        public = self.private.as_dict(private=False)
        shown = {name: value for name, value in public.items() if name in ("kty", "crv", "x", "y", "n", "e")}
        return {"keys": [{**shown, "use": "sig", "key_ops": ["verify"], "alg": self.algorithm, "kid": self.id}]}


def load_key(path: Path) -> SmartKey:
    """Return the key in a PEM file: EC on the curve P-384, or RSA of 2048 bits and more.

    Raises `SettingsError` for anything else; the message says nothing of what is in the file.
    """
    try:
        raw = path.read_bytes()
        private = serialization.load_pem_private_key(raw, password=None)
    except OSError as error:
        raise SettingsError(f"setting smart_key: {path} cannot be read ({type(error).__name__})") from error
    except (ValueError, TypeError):
        raise SettingsError(f"setting smart_key: {path} holds no private key as unencrypted PEM") from None
    try:
        if isinstance(private, ec.EllipticCurvePrivateKey) and isinstance(private.curve, ec.SECP384R1):
            key: ECKey | RSAKey = ECKey.import_key(raw)
            return SmartKey("ES384", key.thumbprint(), key)
        if isinstance(private, rsa.RSAPrivateKey) and private.key_size >= _SHORTEST_RSA:
            key = RSAKey.import_key(raw)
            return SmartKey("RS384", key.thumbprint(), key)
    except JoseError:
        pass
    raise SettingsError(
        f"setting smart_key: {path} is neither an EC key on P-384 nor an RSA key of {_SHORTEST_RSA} bits or more; "
        "make one by 'fhir-coder keys smart'"
    )


def make_key(path: Path, *, use_rsa: bool = False) -> None:
    """Write a new private key (PKCS 8, PEM), readable by its owner alone. Raises FileExistsError and OSError."""
    private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = (
        rsa.generate_private_key(public_exponent=65537, key_size=3072)
        if use_rsa
        else ec.generate_private_key(ec.SECP384R1())
    )
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(pem)
