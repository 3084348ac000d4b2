"""Who may connect to what speaks no HTTP: MLLP and the line protocol, by certificate or by address.

Neither protocol has a word for who sends. On an address that others than this machine can reach, either the TLS
certificates of senders or their addresses are looked at, or the settings say that nobody is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Literal

from fhir_coder.errors import SettingsError
from fhir_coder.settings import Settings

Network = IPv4Network | IPv6Network

# What is said of each, by what its settings begin with.
_NAMES = {"mllp": ("MLLP", "mllp", "host"), "line": ("line protocol", "line_protocol", "line_host")}


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def may_connect(peername: Any, peers: Sequence[Network]) -> bool:
    """Return whether a peer (`get_extra_info("peername")`) is in one of the networks; none lets all connect."""
    if not peers:
        return True
    if not peername:
        return False  # it is gone already
    address = ip_address(str(peername[0]).partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped  # of a client that came by IPv4 to a socket of both kinds
    return any(address in network for network in peers)


def require_known_peers(settings: Settings, listener: Literal["mllp", "line"]) -> list[str]:
    """Return what is to be said at the start of who may connect.

    Raises `SettingsError` when others than this machine could and nobody is asked, unless the settings say so.
    """
    name, protocol, host_setting = _NAMES[listener]
    mode, host = getattr(settings, protocol), getattr(settings, host_setting)
    peers: Sequence[Network] = getattr(settings, f"{listener}_peers")
    is_open = getattr(settings, f"{listener}_auth") == "none"
    if mode == "off":
        return []
    if is_open and peers:
        raise SettingsError(
            f"setting {listener}_auth: 'none' lets everybody connect, but {listener}_peers lists who may; leave one or "
            "the other out"
        )
    if is_loopback(host) or (mode == "tls" and getattr(settings, f"{listener}_tls_client_ca") is not None):
        return []
    if not peers and not is_open:
        raise SettingsError(
            f"setting {host_setting}: {host} can be reached from elsewhere, and nobody who connects by {name} is asked "
            f"who they are; set {listener}_peers to the addresses of the senders, such as "
            f'["10.1.2.3", "10.1.4.0/24"], or {protocol} = "tls" with {listener}_tls_client_ca (their certificates), '
            f'or {protocol} = "off", or say {listener}_auth = "none"'
        )
    said = []
    if is_open:
        said.append(
            f'{name}: nobody is asked who they are ({listener}_auth is "none"): whoever reaches {host} may send'
        )
    if mode != "tls":
        said.append(f"{name}: what is sent crosses the network in clear text on {host}")
    return said
