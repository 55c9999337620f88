"""Who looks at the dashboard: a signed cookie for browsers, the API's keys for programs.

Each session has a token that must come with whatever changes something, because a browser sends
the cookie by itself.
"""

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from itsdangerous import BadData, URLSafeTimedSerializer

from airouter.api.auth import holds_admin_key, key_of, on_this_machine, same_origin
from airouter.domain.errors import Unauthorized
from airouter.domain.keys import DEFAULT, Key
from airouter.domain.types import immutable
from airouter.runtime.access import Access

_LASTS = 12 * 3600  # seconds of a session
_SECRET = "dashboard.secret"
Environ = Mapping[str, Any]


@immutable
class Visitor:
    """`role`: None, "viewer" or "admin" (may read messages). `nonce` identifies the session, ""
    without one. `signed_in`: by a key that the session remembers."""

    role: str | None
    nonce: str = ""
    signed_in: bool = False


class Visitors:
    """Sessions are valid in all workers, until the router is restarted or a key changes.

    Args:
        folder: of the run, for the secret that all workers share.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._secret = b""

    def of(self, environ: Environ, access: Access) -> Visitor:
        """Who sent a request."""
        nonce, given = self._session(environ, access)
        role = given
        if holds_admin_key(environ, access):
            role = "admin"
        elif role is None:
            role = _role(key_of(environ, access)) if access.locked else "viewer"
        # Without an admin key, local requests have the admin role, as for /admin/*.
        local = access.server.admin_key is None and on_this_machine(environ, access.server)
        if role == "viewer" and local:
            role = "admin"
        return Visitor(role, nonce, given is not None)

    def cookie(self, environ: Environ, access: Access, role: str | None) -> tuple[str, str]:
        """(value of `Set-Cookie`, token) of a new session.

        Args:
            role: that a key has proved; None: none.
        """
        nonce = secrets.token_hex(16)
        value = self._serializer(access).dumps([nonce, role])
        secure = "https" in (environ.get("wsgi.url_scheme"), environ.get("HTTP_X_FORWARDED_PROTO"))
        header = (
            f"{_name(access)}={value}; Path=/dashboard; HttpOnly; SameSite=Strict; "
            f"Max-Age={_LASTS}{'; Secure' if secure else ''}"
        )
        return header, self._token(access, nonce)

    def token(self, visitor: Visitor, access: Access) -> str:
        """What a session's pages send with whatever changes something."""
        return self._token(access, visitor.nonce)

    def check(self, environ: Environ, access: Access, visitor: Visitor, token: str) -> None:
        """Check a request that changes something.

        Raises:
            Unauthorized: 403; it does not come from a page of this session.
        """
        origin = environ.get("HTTP_ORIGIN")
        foreign = origin is not None and not same_origin(origin, environ.get("HTTP_HOST", ""))
        expected = self._token(access, visitor.nonce)
        sent = token.encode("latin-1", "replace")
        if foreign or not visitor.nonce or not hmac.compare_digest(sent, expected.encode()):
            raise Unauthorized(
                "This page was open for too long, or it is not the router's own; reload it and try "
                "again.",
                status=403,
                code="invalid_csrf_token",
            )

    def _session(self, environ: Environ, access: Access) -> tuple[str, str | None]:
        """(nonce, role that a key has proved) of the cookie; ("", None) without a valid one."""
        for part in environ.get("HTTP_COOKIE", "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == _name(access):
                with suppress(BadData, ValueError, TypeError):
                    nonce, role = self._serializer(access).loads(value, max_age=_LASTS)
                    return str(nonce), role
        return "", None

    def _token(self, access: Access, nonce: str) -> str:
        return hmac.digest(self._key(access), f"token {nonce}".encode(), "sha256").hex()

    def _serializer(self, access: Access) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(
            self._key(access), salt="session", signer_kwargs={"digest_method": hashlib.sha256}
        )

    def _key(self, access: Access) -> bytes:
        """The secret of the run, and the keys: a session ends when one of them changes. Without the
        secret, a cookie would allow guessing a weak key."""
        if not self._secret:
            self._secret = _shared(self._folder / _SECRET)
        server = access.server
        keys = f"{server.api_key or ''}\0{server.admin_key or ''}".encode()
        return hmac.digest(self._secret, keys + access.dashboard_keys, "sha256")


def proved(sent: str, access: Access) -> str | None:
    """The role that a key proves; None: it is no key of this router, or not one for the
    dashboard."""
    return "admin" if access.is_admin_key(sent) else _role(access.find(sent))


def _role(key: Key | None) -> str | None:
    if key is None:
        return None
    if "admin" in key.scopes:
        return "admin" if "content" in key.scopes else "viewer"
    return "viewer" if key.id == DEFAULT else None  # API_KEY has always opened the dashboard


def _name(access: Access) -> str:
    """Cookies do not tell ports apart."""
    return f"airouter_{access.server.port}"


def _shared(path: Path) -> bytes:
    """The secret in a file, made by the first worker that needs it."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    with suppress(OSError):
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
        with suppress(FileExistsError):
            os.link(fresh, path)
        fresh.unlink()
    try:
        return path.read_bytes()
    except OSError:  # no disk: a secret of this worker's own
        return secrets.token_bytes(32)
