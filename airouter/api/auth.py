"""Who may use the API: the holder of a key; without a key, local programs, but not web pages."""

import hmac
import ipaddress
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from airouter.domain.errors import Unauthorized
from airouter.settings.schema import Server

PUBLIC = frozenset({"/", "/health/liveness", "/health/readiness"})


def check(environ: Mapping[str, Any], server: Server) -> None:
    """Check a request by its path; /admin/* checks its own key, /dashboard/* its sessions.

    Raises:
        Unauthorized: the request is refused.
    """
    path = environ["PATH_INFO"]
    # /health needs no key, but probes every backend; the dashboard has sessions of its own.
    if path in ("/health", "/dashboard") or path.startswith("/dashboard/"):
        if server.api_key is None:
            refuse_pages(environ, server)
    elif path not in PUBLIC and not path.startswith("/admin/"):
        authorise(environ, server)


def authorise(environ: Mapping[str, Any], server: Server) -> None:
    """Check the key if one is configured; otherwise refuse web pages of other origins.

    Raises:
        Unauthorized: the request is refused.
    """
    key = server.api_key
    if key is None:
        refuse_pages(environ, server)
        return
    if not holds_key(environ, key):
        raise Unauthorized(
            "Missing or wrong API key: send 'Authorization: Bearer <the router's API_KEY>'.",
            headers={"WWW-Authenticate": "Bearer"},
        )


def holds_key(environ: Mapping[str, Any], key: str | None) -> bool:
    """Whether the request carries this key, if there is one."""
    scheme, _, sent = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() == "bearer" and is_key(sent, key):
        return True
    return is_key(environ.get("HTTP_X_API_KEY", ""), key)  # as Anthropic's clients send it


def is_key(sent: str, key: str | None) -> bool:
    """Whether it is this key, if there is one. Compared as bytes, in constant time: compare_digest
    rejects text that is not ASCII."""
    return key is not None and hmac.compare_digest(
        sent.strip().encode("latin-1", "replace"), key.encode()
    )


_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^\s:@/\[\]]+?)\.?(?::(?P<port>\d{1,5}))?", re.I)
# Host names by which containers reach their host; `.internal` is reserved, so no web page can use
# it.
_CONTAINERS = ("host.docker.internal", "gateway.docker.internal", "host.containers.internal")
_LOCAL_SUFFIXES = (".localhost", ".local", ".internal", ".lan", ".home.arpa")
_ANY = ("0.0.0.0", "::", "")


def refuse_pages(environ: Mapping[str, Any], server: Server) -> None:
    """Check a request to a router without a key.

    Raises:
        Unauthorized: 403; the request comes from a page of another origin, or its Host header does
            not name this router.
    """
    host = environ.get("HTTP_HOST", "")
    origin = environ.get("HTTP_ORIGIN")
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if host and not _is_ours(host, server.host, server.allowed_hosts):
        # Programs may use any name without a dot, which no public web page has, and any name at all
        # if the router is reachable from other machines. Browsers may not (DNS rebinding). With a
        # plain GET to a plain http address they send neither of the two headers.
        dotless = _is_dotless(host)
        browser = origin is not None or site is not None or (not dotless and _is_browser(environ))
        named = dotless or not (listens_on_loopback(server) or server.allowed_hosts)
        if browser or not named:
            raise Unauthorized(
                f"The host name {_shown(host)} is not allowed; add it to server.allowed_hosts "
                "(ALLOWED_HOSTS), or set API_KEY.",
                status=403,
                code="forbidden_host",
            )
    if origin is None:
        served = site in (None, "same-origin", "none")
    else:
        allowed = server.cors_origins or ()
        listed = origin.lower() in allowed or "*" in allowed
        served = listed or (site in (None, "same-origin") and same_origin(origin, host))
    if served:
        return
    raise Unauthorized(
        f"Requests from web pages of {_shown(origin) if origin else 'another site'} are not "
        "allowed; add the origin to server.cors_origins, or set API_KEY.",
        status=403,
        code="forbidden_origin",
    )


def _is_browser(environ: Mapping[str, Any]) -> bool:
    """Whether `User-Agent` names a browser."""
    return str(environ.get("HTTP_USER_AGENT", "")).startswith("Mozilla/")


def addressed_here(environ: Mapping[str, Any], server: Server) -> bool:
    """Whether `Host` is a loopback name with the router's port. Requests through a proxy carry the
    proxy's."""
    name, port = _split(environ.get("HTTP_HOST", ""))
    return name is not None and _is_loopback(name) and port == str(server.port)


# HTTP_ORIGIN: browsers add it to a POST that a web page has triggered.
_SPEAKS_FOR_OTHERS = frozenset({"HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA", "HTTP_ORIGIN"})


def on_this_machine(environ: Mapping[str, Any], server: Server) -> bool:
    """Whether a local program sent the request itself, not a proxy for a client elsewhere nor a
    browser for a web page."""
    if any(
        name in _SPEAKS_FOR_OTHERS or name.startswith("HTTP_X_FORWARDED_") for name in environ
    ) or environ.get("HTTP_SEC_FETCH_SITE", "none") not in ("none", "same-origin"):
        return False
    if not addressed_here(environ, server):  # a TCP proxy adds no header, but uses another port
        return False
    try:
        return ipaddress.ip_address(environ.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


def listens_on_loopback(server: Server) -> bool:
    """Whether the router is reachable from this machine only."""
    return _is_loopback(server.host.lower())


@lru_cache(maxsize=1024)
def _is_ours(host: str, bound: str, allowed: tuple[str, ...]) -> bool:
    """Whether a `Host` header names this router: a loopback name, the address it is bound to, or
    an allowed host."""
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
    # Safe from DNS rebinding: an address, or a name that public DNS does not serve.
    return _address(name) is not None or "." not in name or name.endswith(_LOCAL_SUFFIXES)


def _split(host: str) -> tuple[str | None, str]:
    """(lower-case name without brackets, port) of a `Host` header; the name is None if the header
    is malformed."""
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


def same_origin(origin: str, host: str) -> bool:
    """Whether origin and `Host` have the same name and port."""
    scheme, _, authority = origin.partition("://")
    default = {"http": ":80", "https": ":443"}.get(scheme)
    if default is None or not host:
        return False
    return authority.lower().removesuffix(default) == host.lower().removesuffix(default)


def _shown(text: str) -> str:
    return repr("".join(c if " " <= c <= "~" else "?" for c in text)[:100])
