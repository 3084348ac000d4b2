"""Who is let in, by the settings: holders of keys, tokens and certificates, or whoever reaches a loopback address.

With a client authority, every connection needs its certificate. Where there are keys or an issuer, too, every request
needs one of theirs as well; else the certificate alone says who calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from anyio.to_thread import run_sync
from starlette.requests import Request

from fhir_coder.errors import AccessError, SettingsError
from fhir_coder.lookup.peers import is_loopback
from fhir_coder.service.access.access_tokens import AccessTokens
from fhir_coder.service.access.api_keys import PREFIX, ApiKeys
from fhir_coder.service.access.caller import ANYBODY, Caller
from fhir_coder.service.access.client_certificates import STATE
from fhir_coder.service.access.scopes import EVERYTHING, Scopes
from fhir_coder.settings import Settings

_SECRETS = ("access_token", "api_key", "apikey", "token")
_CERTIFICATE_SCOPES = Scopes.parse([EVERYTHING])


@dataclass(frozen=True, slots=True)
class Admission:
    """What callers show to be let in."""

    api_keys: ApiKeys | None
    tokens: AccessTokens | None
    certificates: bool
    certificate_names: frozenset[str]  # empty: any that the authority issued
    notifications_bear_a_secret: bool  # which their route checks: FHIR servers can send no other credential

    @classmethod
    def from_settings(cls, settings: Settings) -> Admission:
        """Return what the settings ask for.

        Raises `SettingsError` when they contradict each other, or when nothing is asked on an address that others
        than this machine may reach.
        """
        admission = cls(
            api_keys=ApiKeys(settings.api_keys) if settings.api_keys else None,
            tokens=AccessTokens.from_settings(settings),
            certificates=settings.http_tls_client_ca is not None,
            certificate_names=frozenset(settings.http_tls_client_names),
            notifications_bear_a_secret=settings.subscription_secret is not None,
        )
        if admission.certificate_names and not admission.certificates:
            raise SettingsError("setting http_tls_client_names: it needs http_tls_client_ca")
        if settings.auth == "none" and not admission.is_open:
            raise SettingsError(
                "setting auth: 'none' lets everybody in, but api_keys, oidc_issuer or http_tls_client_ca asks who; "
                "leave one or the other out"
            )
        if settings.auth != "none" and admission.is_open and not is_loopback(settings.host):
            raise SettingsError(
                f"setting host: {settings.host} can be reached from elsewhere, and nobody is asked who they are; set "
                "api_keys ('fhir-coder keys add NAME'), oidc_issuer or http_tls_client_ca, or say auth = \"none\""
            )
        return admission

    @property
    def is_open(self) -> bool:
        """Whether everybody may call."""
        return self.api_keys is None and self.tokens is None and not self.certificates

    @property
    def description(self) -> str:
        """What callers show to be let in, in words."""
        if self.is_open:
            return "Nobody is asked who they are"
        borne = {"an API key": self.api_keys, "a token of the issuer with SMART system scopes": self.tokens}
        bearers = " or ".join(name for name, found in borne.items() if found is not None)
        ways = (
            "a TLS client certificate" if self.certificates else "",
            bearers and f"Authorization: Bearer and {bearers}",
        )
        return f"Callers show {', and '.join(filter(None, ways))}"

    async def caller(self, request: Request) -> Caller:
        """Return who calls. Raises `AccessError` when nobody we know does."""
        if any(name.lower() in _SECRETS for name in request.query_params):
            raise AccessError(
                "credentials do not belong into a URL, where logs keep them; send them in Authorization, and replace "
                "the one that was sent",
                kind="security",
            )
        if self.is_open:
            _require_no_foreign_page(request)
            return ANYBODY
        holder = self._holder(request) if self.certificates else None
        if self.api_keys is None and self.tokens is None:
            assert holder is not None  # noqa: S101 - told to the type checker: something is asked for
            return Caller(f"certificate {holder}", _CERTIFICATE_SCOPES)
        return await self._bearer(_credentials(request))

    def _holder(self, request: Request) -> str:
        names: tuple[str, ...] = request.scope.get("state", {}).get(STATE, ())
        if not names:
            raise AccessError("this needs a client certificate; connect by TLS with one")
        if self.certificate_names and not self.certificate_names.intersection(names):
            raise AccessError("the client certificate's names are not among those that may call", kind="forbidden")
        return names[0]

    async def _bearer(self, credentials: str) -> Caller:
        if credentials.startswith(PREFIX):
            caller = self.api_keys.caller(credentials) if self.api_keys else None
            if caller is None:
                raise AccessError("the key is not accepted")
            return caller
        if self.tokens is None:
            raise AccessError("the key is not accepted")
        # The issuer may have to be asked for its keys.
        return await run_sync(self.tokens.caller, credentials)


def _credentials(request: Request) -> str:
    stated = request.headers.getlist("authorization")
    if not stated:
        raise AccessError("who calls? send Authorization: Bearer and an API key or an access token")
    scheme, _, credentials = stated[0].partition(" ")
    if len(stated) > 1 or scheme.lower() != "bearer" or not credentials.strip():
        raise AccessError("send one Authorization header: Bearer and an API key or an access token")
    return credentials.strip()


def _require_no_foreign_page(request: Request) -> None:
    """Refuse what a page of another site has a browser on this machine send: it reaches loopback addresses, too."""
    for origin in request.headers.getlist("origin"):
        host = urlsplit(origin).hostname if origin.startswith(("http://", "https://")) else None
        if host is None or not is_loopback(host):
            raise AccessError(
                "pages of other sites may not call; set api_keys and have a server call", kind="forbidden"
            )
