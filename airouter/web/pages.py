"""Keeps web pages away from a router that asks for no key.

Every page that a browser on this machine shows can send requests to 127.0.0.1, some of them without
asking first (a "simple" request), and by DNS rebinding even under a name of its own. Without a key
such a request could not be told from the user's. A browser says where a request comes from in
`Origin` and `Sec-Fetch-Site`, and by which name it was addressed in `Host`; programs send neither
of the first two.
"""

import ipaddress
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from airouter.errors import Unauthorized
from airouter.settings import Server

_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^\s:@/\[\]]+?)\.?(?::(?P<port>\d{1,5}))?", re.I)
# How containers call the machine they run on; `.internal` is reserved, so no page can have such a
# name.
_CONTAINERS = ("host.docker.internal", "gateway.docker.internal", "host.containers.internal")
_LOCAL_SUFFIXES = (".localhost", ".local", ".internal", ".lan", ".home.arpa")
_ANY = ("0.0.0.0", "::", "")


def refuse_pages(environ: Mapping[str, Any], server: Server) -> None:
    """For a request that carries no key because none is set.

    Raises:
        Unauthorized: 403, it comes from a page of another origin, or under a name that is not the
            router's.
    """
    host = environ.get("HTTP_HOST", "")
    origin = environ.get("HTTP_ORIGIN")
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if host and not _is_ours(host, server.host, server.allowed_hosts):
        # A program may use a name without a dot, which no page of the Internet has, and on an
        # address that others reach any name. A browser may have been led here by such a name.
        browser = origin is not None or site is not None
        named = _is_dotless(host) or not (listens_on_loopback(server) or server.allowed_hosts)
        if browser or not named:
            raise Unauthorized(
                f"This router does not answer to the host name {_shown(host)}; add it to "
                "server.allowed_hosts (ALLOWED_HOSTS), or set API_KEY.",
                status=403,
                code="forbidden_host",
            )
    if origin is None:
        served = site in (None, "same-origin", "none")
    else:
        allowed = server.cors_origins or ()
        listed = origin.lower() in allowed or "*" in allowed
        served = listed or (site in (None, "same-origin") and _same(origin, host))
    if served:
        return
    raise Unauthorized(
        f"Web pages of {_shown(origin) if origin else 'another site'} may not use this router; "
        "add the origin to server.cors_origins, or set API_KEY.",
        status=403,
        code="forbidden_origin",
    )


def addressed_here(environ: Mapping[str, Any], server: Server) -> bool:
    """Whether `Host` is a loopback name with the port listened on: what a proxy forwards has its
    own."""
    name, port = _split(environ.get("HTTP_HOST", ""))
    return name is not None and _is_loopback(name) and port == str(server.port)


def listens_on_loopback(server: Server) -> bool:
    """Whether only this machine reaches the router."""
    return _is_loopback(server.host.lower())


@lru_cache(maxsize=1024)
def _is_ours(host: str, bound: str, allowed: tuple[str, ...]) -> bool:
    """Whether a `Host` header names this router: as loopback, as the address it is bound to, or as
    allowed."""
    name, _ = _split(host)
    if name is None:
        return False
    if _is_loopback(name) or name in _CONTAINERS:
        return True
    for entry in allowed:
        wanted = entry.lower().strip("[]")
        if wanted in ("*", name) or (wanted.startswith("*.") and name.endswith(wanted[1:])):
            return True
    if _is_loopback(bound.lower()):
        return False
    if allowed:
        return bound not in _ANY and name == bound.lower()
    # No page can have taken the name by DNS: it is an address, or of a kind that public DNS does
    # not serve.
    return _address(name) is not None or "." not in name or name.endswith(_LOCAL_SUFFIXES)


def _split(host: str) -> tuple[str | None, str]:
    """(name in lower case without brackets, port) of a `Host` header; the name is None if it is not
    one."""
    found = _HOST.fullmatch(host)
    if found is None:
        return None, ""
    return found["name"].lower().strip("[]"), found["port"] or "80"


def _is_dotless(host: str) -> bool:
    name, _ = _split(host)
    return name is not None and "." not in name and ":" not in name


def _is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _address(name)
    if address is None:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _same(origin: str, host: str) -> bool:
    """Whether a page of this origin was served under this `Host`: names and ports are the same."""
    scheme, _, authority = origin.partition("://")
    default = {"http": ":80", "https": ":443"}.get(scheme)
    if default is None or not host:
        return False
    return authority.lower().removesuffix(default) == host.lower().removesuffix(default)


def _shown(text: str) -> str:
    return repr("".join(c if " " <= c <= "~" else "?" for c in text)[:100])
