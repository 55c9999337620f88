"""Tells a webhook of alerts, in the format in which Alertmanager does."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

_TIMEOUT = 5.0  # seconds for connecting, and for each read
_TRIES = 3
_PAUSE = 1.0  # seconds before the second try, doubled before the next
_NEVER = "0001-01-01T00:00:00Z"


def payload(alerts: Sequence[dict[str, Any]], source: str) -> dict[str, Any]:
    """A notification, version 4.

    Args:
        alerts: as `/metrics/alerts` lists them.
        source: the router's address.
    """
    told = [_alert(alert, source) for alert in alerts]
    firing = any(alert["status"] == "firing" for alert in told)
    return {
        "version": "4",
        "groupKey": "{}:{}",
        "truncatedAlerts": 0,
        "status": "firing" if firing else "resolved",
        "receiver": "ai-router",
        "groupLabels": {},
        "commonLabels": {"service": "ai-router"},
        "commonAnnotations": {},
        "externalURL": source,
        "alerts": told,
    }


def _alert(alert: dict[str, Any], source: str) -> dict[str, Any]:
    over = alert["state"] == "resolved"
    since = datetime.fromtimestamp(alert["since"], UTC).isoformat().replace("+00:00", "Z")
    return {
        "status": "resolved" if over else "firing",
        "labels": {
            "alertname": alert["name"],
            "service": "ai-router",
            "severity": alert["severity"],
            "priority": alert["priority"],
            "slo": alert["slo"],
        },
        "annotations": {
            "summary": alert["description"],
            "runbook_url": alert["runbook"],
            "value": str(alert["value"]),
            "threshold": str(alert["threshold"]),
        },
        "startsAt": since,
        "endsAt": since if over else _NEVER,
        "generatorURL": f"{source}/metrics/alerts",
        "fingerprint": f"{alert['name']}-{alert['severity']}",
    }


def send(url: str, body: dict[str, Any], pause: Callable[[float], bool]) -> str:
    """Send a notification, three times at most.

    Args:
        pause: waits so many seconds; True if there is no time for another try.

    Returns:
        Why it could not be; "" if it was.
    """
    import requests  # here: it takes a tenth of a second, and most routers have no webhook

    problem = ""
    for number in range(_TRIES):
        if number and pause(_PAUSE * 2 ** (number - 1)):
            break
        try:
            response = requests.post(url, json=body, timeout=_TIMEOUT)
        except (requests.RequestException, ValueError) as error:  # ValueError: not a host's name
            problem = type(error).__name__
            continue
        if response.status_code < 300:
            return ""
        problem = f"status {response.status_code}"
        if response.status_code < 500 and response.status_code != 429:
            return problem
    return problem
