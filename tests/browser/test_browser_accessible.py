"""The dashboard in light and dark, on a phone, with the keyboard alone, and without barriers that
axe-core finds."""

from itertools import pairwise

import pytest
from harness import ask, steer

pytestmark = pytest.mark.browser

LOOKS = [("light", 1440), ("dark", 1440), ("light", 390), ("dark", 390)]
FOCUS = "document.activeElement"


@pytest.fixture
def asked_router(router):
    ask(router, steer("Hello", router={"label": "SIMPLE"}), stream=True)
    ask(router, steer("Prove it", router={"label": "COMPLEX"}), stream=True)
    return router


def widest(page):
    return page.evaluate("document.documentElement.scrollWidth")


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_no_barriers_on_the_page_and_in_the_dialog(asked_router, visit, scheme, width):
    visited = visit(asked_router.url, width=width, scheme=scheme, bypass_csp=True)
    visited.open()
    page = visited.until_live()
    page.locator("#requests-table tbody tr").first.wait_for()
    assert visited.barriers() == []
    assert widest(page) <= width
    visited.screenshot(f"page-{scheme}-{width}")
    page.locator("#requests-table tbody a").first.click()
    page.locator("#request-body").wait_for()
    assert visited.barriers() == []
    visited.screenshot(f"request-{scheme}-{width}")
    page.keyboard.press("Escape")
    page.fill("#try-prompt", steer("Hello", router={"label": "SIMPLE"}))
    page.keyboard.press("Enter")
    page.locator("#try-end a").wait_for()
    assert visited.barriers() == []
    assert widest(page) <= width


@pytest.mark.parametrize("width", [1440, 390])
def test_no_barriers_where_nothing_was_asked_or_one_signs_in(make_router, visit, width):
    router = make_router(env={"API_KEY": "key-of-a-reader"}, warm=False)
    visited = visit(router.url, width=width, bypass_csp=True)
    page = visited.open()
    assert visited.barriers() == []
    assert widest(page) <= width
    page.fill("#key", "key-of-a-reader")
    page.keyboard.press("Enter")
    visited.until_live()
    assert visited.barriers() == []
    assert widest(page) <= width


def test_what_a_finger_touches_is_large_enough(asked_router, visit):
    visited = visit(asked_router.url, width=390)
    visited.open()
    page = visited.until_live()
    page.locator("#requests-table tbody tr").first.wait_for()
    small = page.evaluate(
        """() => [...document.querySelectorAll(
            "button, select, input:not([type=hidden], [type=checkbox]), nav a, summary, td a, th a"
        )].filter((node) => node.checkVisibility())
          .map((node) => [node.outerHTML.slice(0, 80), node.getBoundingClientRect()])
          .filter(([, box]) => box.height < 24 || box.width < 24).map(([text]) => text)"""
    )
    assert small == []


def tab_to(page, selector, most=150):
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate(f"{FOCUS}.matches({selector!r})"):
            outline = page.evaluate(f"getComputedStyle({FOCUS}).outlineStyle")
            assert outline != "none", f"no visible focus on {selector}"
            return
    raise AssertionError(f"Tab does not reach {selector}")


def test_a_request_is_opened_and_left_with_the_keyboard(asked_router, visit):
    visited = visit(asked_router.url)
    visited.open()
    page = visited.until_live()
    page.locator("#requests-table tbody tr").first.wait_for()
    tab_to(page, ".skip")
    tab_to(page, "#requests-table tbody a")
    chosen = page.evaluate(f"{FOCUS}.href")
    page.keyboard.press("Enter")
    page.locator("#request-body").wait_for()
    assert page.evaluate(f"document.querySelector('#request').contains({FOCUS})")
    page.keyboard.press("Escape")
    page.wait_for_function("() => !document.querySelector('#request').open")
    assert page.evaluate(f"{FOCUS}.href") == chosen


def test_a_question_is_asked_with_the_keyboard(asked_router, visit):
    visited = visit(asked_router.url)
    visited.open()
    page = visited.until_live()
    tab_to(page, "#try-prompt", most=400)
    page.keyboard.type(steer("Hello", router={"label": "SIMPLE"}))
    page.keyboard.press("Enter")
    page.locator("#try-end a").wait_for()
    tab_to(page, "#try-end a")


def test_the_theme_follows_the_system_until_one_is_chosen(asked_router, visit):
    visited = visit(asked_router.url, scheme="dark")
    visited.open()
    page = visited.until_live()
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    page.click("#theme")
    light = page.evaluate(background)
    assert light != dark
    page.reload()
    assert page.evaluate(background) == light
    page.click("#theme")
    assert page.evaluate(background) == dark


def test_sections_have_headings_in_order(asked_router, visit):
    visited = visit(asked_router.url)
    visited.open()
    page = visited.until_live()
    levels = page.evaluate(
        """() => [...document.querySelectorAll("h1, h2, h3, h4")]
            .filter((node) => node.checkVisibility()).map((node) => Number(node.tagName[1]))"""
    )
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels)), levels
