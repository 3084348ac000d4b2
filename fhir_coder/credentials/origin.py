"""Origins of URLs: scheme, host and port, by which one server is told from another.

Source: RFC 6454, section 4.
"""

from __future__ import annotations

import httpx2

_PORTS = {"http": 80, "https": 443}


def origin_of(url: httpx2.URL) -> tuple[str, str, int]:
    """Return the origin of an absolute url."""
    return (url.scheme, url.host.lower().rstrip("."), url.port or _PORTS.get(url.scheme, 0))


def sent_to(request: httpx2.Request) -> tuple[str, str, int]:
    """Return the origin that a request is meant for.

    The host is that of its Host header, which we write: a request that was pinned to an address has that in its url.
    """
    named = httpx2.URL(f"{request.url.scheme}://{request.headers.get('Host', '')}")
    return origin_of(named)
