"""The addresses that are shown."""

import pytest

from airouter.cli.summary import base_url, shown_url
from airouter.settings.load import load_settings
from tests.cli.started import PRIMARY


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:8002"),
        ("::", "http://[::1]:8002"),
        ("127.0.0.1", "http://127.0.0.1:8002"),
        ("::1", "http://[::1]:8002"),
    ],
)
def test_own_address_is_one_that_can_be_reached(host, url):
    assert base_url(load_settings(PRIMARY | {"HOST": host, "API_KEY": "k"})) == url


def test_shown_url_has_no_password():
    assert shown_url("http://user:pw@h:1/base") == "http://h:1/base"
