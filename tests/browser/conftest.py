"""A browser that looks at a router's dashboard. Only with `-m browser`: `make test-browser`."""

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
INSTALLED = ROOT / ".venv-browser"
AXE = INSTALLED / "node" / "node_modules" / "axe-core" / "axe.min.js"
SCREENSHOTS = ROOT / "logs" / "browser"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
LIMIT_MS = 20_000  # for what the page is to show; the machine may be slow


def pytest_collection_modifyitems(config, items):
    """Not by default: it needs a browser. `-m browser` asks for it."""
    if "browser" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("browser")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def chromium():
    if not AXE.exists():
        pytest.fail("There is no .venv-browser; `make test-browser` makes it.")
    sys.path += [str(path) for path in INSTALLED.glob("lib/python*/site-packages")]
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=ARGUMENTS
        )
        yield browser
        browser.close()


class Visit:
    """A tab of its own, and what went wrong in it: `page` is Playwright's, `faults` are errors and
    warnings of the console, exceptions, and requests to other hosts."""

    def __init__(self, chromium, url, width, scheme, bypass_csp):
        self.url = url
        self.faults = []
        self.context = chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            reduced_motion="reduce",
            bypass_csp=bypass_csp,
        )
        self.context.set_default_timeout(LIMIT_MS)
        self.page = self.context.new_page()
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.faults.append(f"exception: {error}"))
        self.page.on("request", self._on_request)

    def _on_console(self, message):
        if message.type in ("error", "warning"):
            self.faults.append(f"console: {message.text}")

    def _on_request(self, request):
        asked = urlsplit(request.url)
        if asked.scheme != "data" and asked.netloc != urlsplit(self.url).netloc:
            self.faults.append(f"request to {request.url}")

    def open(self, path="/dashboard"):
        self.page.goto(self.url + path)
        return self.page

    def until_live(self):
        self.page.locator("#connection[data-state=live]").wait_for()
        self.page.locator("#tile-rate [data-below]", has_text="request").wait_for()
        return self.page

    def forgive(self, text):
        """Forget faults that a test caused on purpose."""
        self.faults = [fault for fault in self.faults if text not in fault]

    def screenshot(self, name):
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    def barriers(self):
        """What axe-core finds that is serious or worse, as lines of text."""
        if not self.page.evaluate("'axe' in window"):
            self.page.add_script_tag(path=AXE)
        found = self.page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        return [
            f"{rule['id']}: {node['html'][:200]}"
            for rule in found["violations"]
            if rule["impact"] in ("serious", "critical")
            for node in rule["nodes"]
        ]


@pytest.fixture
def visit(chromium):
    """`visit(url, width=…, scheme=…)`: a tab. Whatever goes wrong in it fails the test at its
    end."""
    visits = []

    def start(url, width=1440, scheme="light", bypass_csp=False):
        visits.append(Visit(chromium, url, width, scheme, bypass_csp))
        return visits[-1]

    yield start
    for visited in visits:
        visited.context.close()
    assert [fault for visited in visits for fault in visited.faults] == []
