"""Who may connect to MLLP and the line protocol, and that nobody is let in by an oversight."""

from __future__ import annotations

import re
from typing import Any

import pytest

from fhir_coder.errors import SettingsError
from fhir_coder.lookup.peers import is_loopback, may_connect, require_known_peers
from fhir_coder.settings import Settings

OPEN = ["0.0.0.0", "::", "192.0.2.1", "engine.example.org"]  # noqa: S104
LISTENERS = {"mllp": ("host", "mllp"), "line": ("line_host", "line_protocol")}


def given(listener: str, host: str, mode: str = "tcp", **more: Any) -> Settings:
    where, protocol = LISTENERS[listener]
    return Settings.load(**{where: host, protocol: mode, **{f"{listener}_{name}": more[name] for name in more}})


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("host", OPEN)
@pytest.mark.parametrize(("mode", "more"), [("tcp", {}), ("tls", {}), ("both", {"tls_client_ca": "ca.pem"})])
def test_an_open_address_where_nobody_is_asked_is_refused_with_what_to_set(
    listener: Any, host: str, mode: str, more: dict[str, Any]
) -> None:
    where, protocol = LISTENERS[listener]
    with pytest.raises(SettingsError) as caught:
        require_known_peers(given(listener, host, mode, **more), listener)
    said = str(caught.value)
    assert said.startswith(f"setting {where}: {host} can be reached from elsewhere")
    for name in (f"{listener}_peers", f'{protocol} = "tls"', f"{listener}_tls_client_ca", f'{listener}_auth = "none"'):
        assert name in said
    assert set(re.findall(r"\b(?:mllp|line)_\w+", said)) <= set(Settings.model_fields)


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize(
    ("host", "mode", "more", "said"),
    [
        ("127.0.0.1", "tcp", {}, []),
        ("::1", "both", {}, []),
        ("localhost", "tls", {}, []),
        ("192.0.2.1", "off", {}, []),
        ("192.0.2.1", "tls", {"tls_client_ca": "ca.pem"}, []),
        ("192.0.2.1", "tls", {"peers": ["10.1.2.3"]}, []),
        ("192.0.2.1", "tcp", {"peers": ["10.1.2.0/24"]}, ["clear text"]),
        ("192.0.2.1", "tls", {"auth": "none"}, ["nobody is asked"]),
        ("192.0.2.1", "both", {"auth": "none", "tls_client_ca": "ca.pem"}, ["nobody is asked", "clear text"]),
        ("192.0.2.1", "tcp", {"auth": "none"}, ["nobody is asked", "clear text"]),
    ],
)
def test_what_is_said_at_the_start(listener: Any, host: str, mode: str, more: dict[str, Any], said: list[str]) -> None:
    found = require_known_peers(given(listener, host, mode, **more), listener)
    assert len(found) == len(said)
    assert all(words in each for words, each in zip(said, found, strict=True))


@pytest.mark.parametrize("listener", LISTENERS)
def test_settings_that_contradict_each_other(listener: Any) -> None:
    with pytest.raises(SettingsError, match=f"setting {listener}_auth"):
        require_known_peers(given(listener, "192.0.2.1", auth="none", peers=["10.1.2.3"]), listener)


@pytest.mark.parametrize("peers", [["10.1.2.3/24"], ["engine.example.org"], ["10.1.2"], [""]])
def test_a_peer_is_an_address_or_a_network(peers: list[str]) -> None:
    with pytest.raises(SettingsError, match="mllp_peers"):
        Settings.load(mllp_peers=peers)


@pytest.mark.parametrize(
    ("peers", "address", "may"),
    [
        ([], "192.0.2.9", True),
        (["10.1.2.3"], "10.1.2.3", True),
        (["10.1.2.3"], "10.1.2.4", False),
        (["10.1.2.3"], "::ffff:10.1.2.3", True),
        (["10.1.2.3"], "::ffff:10.1.2.4", False),
        (["10.1.4.0/24"], "10.1.4.255", True),
        (["10.1.4.0/24", "fe80::/10"], "fe80::1%eth0", True),
        (["10.1.4.0/24"], "2001:db8::1", False),
        (["2001:db8::/32"], "2001:db8::1", True),
        (["::/0"], "10.1.4.1", False),
    ],
)
def test_who_may_connect(peers: list[str], address: str, may: bool) -> None:
    assert may_connect((address, 1), Settings.load(mllp_peers=peers).mllp_peers) is may


def test_a_peer_that_is_gone_is_in_no_list() -> None:
    assert not may_connect(None, Settings.load(mllp_peers=["10.1.2.3"]).mllp_peers)


@pytest.mark.parametrize("host", OPEN)
def test_what_others_reach_is_no_loopback_address(host: str) -> None:
    assert not is_loopback(host)
    assert is_loopback("127.0.0.2")
    assert is_loopback("[::1]")
