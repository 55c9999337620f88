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

from airouter.api.auth import holds_key, is_key, on_this_machine, same_origin
from airouter.domain.errors import Unauthorized
from airouter.domain.types import immutable
from airouter.settings.schema import Server

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

    def of(self, environ: Environ, server: Server) -> Visitor:
        """Who sent a request."""
        nonce, given = self._session(environ, server)
        role = given
        if holds_key(environ, server.admin_key):
            role = "admin"
        elif role is None and (server.api_key is None or holds_key(environ, server.api_key)):
            role = "viewer"
        # Without an admin key, local requests have the admin role, as for /admin/*.
        if role == "viewer" and server.admin_key is None and on_this_machine(environ, server):
            role = "admin"
        return Visitor(role, nonce, given is not None)

    def cookie(self, environ: Environ, server: Server, role: str | None) -> tuple[str, str]:
        """(value of `Set-Cookie`, token) of a new session.

        Args:
            role: that a key has proved; None: none.
        """
        nonce = secrets.token_hex(16)
        value = self._serializer(server).dumps([nonce, role])
        secure = "https" in (environ.get("wsgi.url_scheme"), environ.get("HTTP_X_FORWARDED_PROTO"))
        header = (
            f"{_name(server)}={value}; Path=/dashboard; HttpOnly; SameSite=Strict; "
            f"Max-Age={_LASTS}{'; Secure' if secure else ''}"
        )
        return header, self._token(server, nonce)

    def token(self, visitor: Visitor, server: Server) -> str:
        """What a session's pages send with whatever changes something."""
        return self._token(server, visitor.nonce)

    def check(self, environ: Environ, server: Server, visitor: Visitor, token: str) -> None:
        """Check a request that changes something.

        Raises:
            Unauthorized: 403; it does not come from a page of this session.
        """
        origin = environ.get("HTTP_ORIGIN")
        foreign = origin is not None and not same_origin(origin, environ.get("HTTP_HOST", ""))
        expected = self._token(server, visitor.nonce)
        sent = token.encode("latin-1", "replace")
        if foreign or not visitor.nonce or not hmac.compare_digest(sent, expected.encode()):
            raise Unauthorized(
                "This page was open for too long, or it is not the router's own; reload it and try "
                "again.",
                status=403,
                code="invalid_csrf_token",
            )

    def _session(self, environ: Environ, server: Server) -> tuple[str, str | None]:
        """(nonce, role that a key has proved) of the cookie; ("", None) without a valid one."""
        for part in environ.get("HTTP_COOKIE", "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == _name(server):
                with suppress(BadData, ValueError, TypeError):
                    nonce, role = self._serializer(server).loads(value, max_age=_LASTS)
                    return str(nonce), role
        return "", None

    def _token(self, server: Server, nonce: str) -> str:
        return hmac.digest(self._key(server), f"token {nonce}".encode(), "sha256").hex()

    def _serializer(self, server: Server) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(
            self._key(server), salt="session", signer_kwargs={"digest_method": hashlib.sha256}
        )

    def _key(self, server: Server) -> bytes:
        """The secret of the run, and the keys: a session ends when one of them changes. Without the
        secret, a cookie would allow guessing a weak key."""
        if not self._secret:
            self._secret = _shared(self._folder / _SECRET)
        keys = f"{server.api_key or ''}\0{server.admin_key or ''}"
        return hmac.digest(self._secret, keys.encode(), "sha256")


def proved(key: str, server: Server) -> str | None:
    """The role that a key proves; None: it is no key of this router."""
    if is_key(key, server.admin_key):
        return "admin"
    return "viewer" if is_key(key, server.api_key) else None


def _name(server: Server) -> str:
    """Cookies do not tell ports apart."""
    return f"airouter_{server.port}"


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
