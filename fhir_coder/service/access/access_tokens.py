"""Access tokens: JWTs that the configured OpenID Connect issuer signed for this service.

Source: RFC 7519, RFC 8725 (best practices), RFC 9068 (JWT access tokens)
"""

from __future__ import annotations

import binascii
import logging
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import ExpiredTokenError, JoseError

from fhir_coder.errors import AccessError, SettingsError
from fhir_coder.service.access.caller import Caller
from fhir_coder.service.access.issuer_keys import IssuerKeys, IssuerUnavailableError, PublicKey
from fhir_coder.service.access.scopes import Scopes
from fhir_coder.service.access.token_ids import TokenIds
from fhir_coder.settings import Settings

_log = logging.getLogger(__name__)

_CURVES = {"ES256": "P-256", "ES384": "P-384"}
_ALGORITHMS = ("RS256", "RS384", *_CURVES)  # all asymmetric: a public key is no secret that could sign
_TYPES = ("jwt", "at+jwt", "application/at+jwt")
_LEEWAY = 30  # seconds that clocks may differ
_LONGEST = 16_000  # characters
_REFUSED = "the token is not accepted"


class AccessTokens:
    """Checks tokens: signature, claims, and that no other token had its `jti`."""

    def __init__(self, keys: IssuerKeys, issuer: str, audience: str, single_use: bool = False) -> None:
        self._keys = keys
        self._ids = TokenIds(single_use, _LEEWAY)
        self._claims = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
        )

    @classmethod
    def from_settings(cls, settings: Settings) -> AccessTokens | None:
        """Return what checks tokens, or None without `oidc_issuer`. Raises `SettingsError` when half is missing."""
        if settings.oidc_issuer is None:
            if settings.oidc_audience is not None or settings.oidc_jwks_url is not None:
                raise SettingsError("setting oidc_issuer: it is missing, and oidc_audience and oidc_jwks_url need it")
            return None
        if not settings.oidc_audience:
            raise SettingsError("setting oidc_audience: name what the issuer calls this service in the tokens' aud")
        keys = IssuerKeys(settings.oidc_issuer, settings.oidc_jwks_url)
        return cls(keys, settings.oidc_issuer, settings.oidc_audience, settings.oidc_single_use)

    def caller(self, token: str) -> Caller:
        """Return who calls with a token. Raises `AccessError`; its message says no more than is safe.

        May wait for the issuer: to be called in a thread.
        """
        if len(token) > _LONGEST or not token.isascii():
            raise AccessError(_REFUSED)
        try:
            claims = self._verified(token)
            self._claims.validate(claims)
            self._ids.check(claims, token.rpartition(".")[0].encode())
        except ExpiredTokenError:
            raise AccessError("the token has expired; get a new one", kind="expired") from None
        except IssuerUnavailableError:
            raise AccessError("the issuer's keys cannot be had; try again later", kind="transient") from None
        except (JoseError, ValueError, TypeError, KeyError, binascii.Error) as error:
            _log.info("a token was refused: %s", type(error).__name__)
            raise AccessError(_REFUSED) from None
        return Caller(f"token {self._name(claims)}", Scopes.parse(_scopes(claims)))

    def _verified(self, token: str) -> dict[str, Any]:
        header = jws.extract_compact(token.encode()).headers()
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in _ALGORITHMS or not isinstance(kid, str):
            raise ValueError("algorithm or key id")
        if str(header.get("typ", "JWT")).lower() not in _TYPES:
            raise ValueError("type")
        key = self._keys.find(kid)
        if key is None or not _fits(key, algorithm):
            raise ValueError("key")
        return jwt.decode(token, key, algorithms=[algorithm]).claims

    @staticmethod
    def _name(claims: dict[str, Any]) -> str:
        """The client and its subject; a token without both could not be told from others."""
        names = [str(claims[name]) for name in ("client_id", "azp", "sub") if claims.get(name)]
        if not names:
            raise AccessError(_REFUSED)
        return " ".join(names)


def _fits(key: PublicKey, algorithm: str) -> bool:
    stated = key.get("alg")
    if stated is not None and stated != algorithm:
        return False
    if algorithm in _CURVES:
        return key.key_type == "EC" and key.get("crv") == _CURVES[algorithm]
    return key.key_type == "RSA"


def _scopes(claims: dict[str, Any]) -> list[str]:
    """The scopes: `scope` as the standard has it, or `scp` as some issuers do, a string or a list."""
    stated = claims.get("scope", claims.get("scp", ""))
    if isinstance(stated, list):
        return [scope for scope in stated if isinstance(scope, str)]
    return stated.split() if isinstance(stated, str) else []
