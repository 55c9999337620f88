"""HTTP client for the router itself; ignores the proxy settings of the environment."""

import http.client
import json
from typing import Any

from airouter.cli.summary import connect_host
from airouter.settings.schema import Server


def ask(
    server: Server, path: str, timeout: float, method: str = "GET", key: str | None = None
) -> tuple[int, dict[str, Any]] | None:
    """Status and JSON body of the response; None if nothing answers, or not with a JSON object."""
    connection = http.client.HTTPConnection(connect_host(server.host), server.port, timeout=timeout)
    try:
        connection.request(method, path, headers={"Authorization": f"Bearer {key}"} if key else {})
        response = connection.getresponse()
        return response.status, dict(json.loads(response.read()))
    except (OSError, http.client.HTTPException, ValueError, TypeError):
        return None
    finally:
        connection.close()
