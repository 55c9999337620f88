"""Who may call: the address settings that decide it without a key, and the keys."""

import hashlib
import hmac
from collections.abc import Mapping

from airouter.domain.keys import DEFAULT, DEFAULT_SCOPES, Key
from airouter.settings.keys import KeySettings
from airouter.settings.server import Server


class Access:
    """Immutable; made anew by a reload.

    `locked`: whether clients need a key.
    """

    def __init__(self, server: Server, keys: Mapping[str, KeySettings] | None = None) -> None:
        self.server = server
        self._keys: dict[bytes, Key] = {}
        if server.api_key is not None:
            self._keys[_digest(server.api_key.encode())] = Key(DEFAULT, DEFAULT_SCOPES)
        for name, spec in (keys or {}).items():
            self._keys[bytes.fromhex(spec.sha256)] = Key(
                name, frozenset(spec.scopes), frozenset(spec.tenants), spec.requests_per_minute
            )
        self.locked = bool(self._keys)
        # Digests of the keys that open the dashboard, so that its sessions end with their key.
        self.dashboard_keys = b"".join(
            sorted(digest for digest, key in self._keys.items() if "admin" in key.scopes)
        )

    def find(self, sent: str) -> Key | None:
        """The key of this text, as it stands in a header; None if it is no key of a client.

        Looking up a digest takes the same time whatever the text has in common with a key."""
        digest = _digest(sent.strip().encode("latin-1", "replace"))
        return self._keys.get(digest)

    def is_admin_key(self, sent: str) -> bool:
        """Whether it is `ADMIN_KEY`, if there is one. Compared as bytes, in constant time:
        compare_digest rejects text that is not ASCII."""
        key = self.server.admin_key
        return key is not None and hmac.compare_digest(
            sent.strip().encode("latin-1", "replace"), key.encode()
        )


def _digest(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()
