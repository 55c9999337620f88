"""Who may use the API: the holders of keys; without any key, local programs, but not web pages."""

import ipaddress
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from airouter.domain.errors import Unauthorized
from airouter.domain.keys import Key, Scope
from airouter.runtime.access import Access
from airouter.settings.schema import Server

PUBLIC = frozenset({"/", "/health/liveness", "/health/readiness"})
# Their handlers charge the key, by tenant.
CHARGED_BY_TENANT = frozenset({"/map", "/map/batch"})


def check(environ: Mapping[str, Any], access: Access) -> Key | None:
    """Check a request by its path; /admin/* checks its own key, /dashboard/* its sessions.

    Returns:
        The key that it carries; None where none is needed.

    Raises:
        Unauthorized: the request is refused, with a key that is missing or unknown.
    """
    path = environ["PATH_INFO"]
    # /health needs no key, but probes every backend; the dashboard has sessions of its own.
    if path in ("/health", "/dashboard") or path.startswith("/dashboard/"):
        if not access.locked:
            refuse_pages(environ, access.server)
    elif path not in PUBLIC and not path.startswith("/admin/"):
        return authorise(environ, access)
    return None


def authorise(environ: Mapping[str, Any], access: Access) -> Key | None:
    """The key of a request if keys are configured; otherwise refuse web pages of other origins.

    Raises:
        Unauthorized: the request is refused.
    """
    if not access.locked:
        refuse_pages(environ, access.server)
        return None
    key = key_of(environ, access)
    if key is None:
        raise Unauthorized(
            "Missing or wrong API key: send 'Authorization: Bearer <a key of this router>'.",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return key


def scope_of(path: str) -> Scope:
    """The scope that a key needs for a path, other than those that check their own."""
    return "map" if is_maps(path) else "chat"


def is_maps(path: str) -> bool:
    """Whether a path is /map or one below it."""
    return path == "/map" or path.startswith("/map/")


def demand(key: Key | None, scope: Scope) -> None:
    """Check that a key has a scope; None, where no key is needed, has all.

    Raises:
        Unauthorized: 403; it has not.
    """
    if key is not None and scope not in key.scopes:
        raise Unauthorized(
            f"This key lacks the scope {scope!r}; it has {', '.join(sorted(key.scopes))}.",
            status=403,
            code="insufficient_scope",
        )


def demand_tenant(key: Key | None, tenant: str) -> None:
    """Check that a key's holder may act for a tenant.

    Raises:
        Unauthorized: 403; the key is for other tenants.
    """
    if key is not None and key.tenants and tenant not in key.tenants:
        raise Unauthorized(
            "This key may not be used for this tenant.", status=403, code="insufficient_scope"
        )


def key_of(environ: Mapping[str, Any], access: Access) -> Key | None:
    """The client's key that a request carries; Anthropic's clients send it as `x-api-key`."""
    return access.find(_sent(environ)) or access.find(environ.get("HTTP_X_API_KEY", ""))


def holds_admin_key(environ: Mapping[str, Any], access: Access) -> bool:
    """Whether the request carries `ADMIN_KEY`, if there is one."""
    return access.is_admin_key(_sent(environ))


def _sent(environ: Mapping[str, Any]) -> str:
    scheme, _, sent = str(environ.get("HTTP_AUTHORIZATION", "")).partition(" ")
    return sent if scheme.lower() == "bearer" else ""


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
