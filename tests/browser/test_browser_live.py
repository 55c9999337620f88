"""What the dashboard shows of a router at work."""

import re

import pytest
from harness import Wire, ask, body, steer

pytestmark = pytest.mark.browser

ROWS = "#requests-table tbody tr"
SLOW = {"tokens": 2000, "tps": 20}


def requests_shown(page):
    text = page.locator("#tile-rate [data-below]").inner_text()
    return int(re.match(r"([\d,]+) request", text)[1].replace(",", ""))


def until(page, script, argument=None):
    page.wait_for_function(script, arg=argument)


def test_figures_and_tables_follow_the_traffic(router, visit):
    visited = visit(router.url)
    visited.open()
    page = visited.until_live()
    before = requests_shown(page)
    for n in range(3):
        ask(router, f"Hello {n}", stream=n == 0)
    until(
        page,
        "least => parseInt(document.querySelector('#tile-rate [data-below]').textContent"
        ".replaceAll(',', '')) >= least",
        before + 3,
    )
    page.locator(ROWS).nth(2).wait_for()
    page.locator("#answered-by li", has_text="primary").wait_for()
    page.locator("#chart-route canvas").wait_for()
    assert "latest" in page.locator("#chart-route .plot").get_attribute("aria-label")
    assert page.locator("#stages tbody tr").count() >= 3
    visited.screenshot("live")


def test_a_request_in_flight_is_shown_until_it_ends(router, visit):
    visited = visit(router.url)
    visited.open()
    page = visited.until_live()
    with Wire(router.port) as wire:
        wire.post("/v1/chat/completions", body(steer("Slowly", primary=SLOW), stream=True))
        row = page.locator("#in-flight tbody tr", has_text="answering")
        row.first.wait_for()
        page.locator("#backends .backend", has_text="1 of").first.wait_for()
        visited.screenshot("in-flight")
    until(page, "() => !document.querySelector('#in-flight tbody tr')")
    page.locator("#in-flight .empty").wait_for()


def test_another_time_window_is_asked_for(router, visit):
    visited = visit(router.url)
    visited.open()
    page = visited.until_live()
    page.select_option("#window", "86400")
    page.locator("#tile-rate [data-below]", has_text="24 hours").wait_for()


def test_the_filters_narrow_the_table(router, visit):
    ask(router, "Hello")
    visited = visit(router.url)
    visited.open()
    page = visited.until_live()
    page.locator(ROWS).first.wait_for()
    page.fill("#filters [name=slow_ms]", "999999")
    page.locator("#requests-table .empty").wait_for()
    page.click("#filters [type=reset]")
    page.locator(ROWS).first.wait_for()
    name = page.locator(ROWS).first.locator("a").inner_text()
    page.fill("#filters [name=id]", name)
    until(page, f"() => document.querySelectorAll('{ROWS}').length === 1")


def test_a_request_opens_and_its_address_can_be_shared(router, visit):
    ask(router, steer("Is it hard?", router={"label": "COMPLEX"}), stream=True)
    visited = visit(router.url)
    visited.open()
    page = visited.until_live()
    page.locator(ROWS).first.locator("td").nth(1).click()
    page.locator("#request-timeline li").nth(1).wait_for()
    assert re.search(r"#request=[0-9a-f]{32}$", page.url)
    assert page.locator("#request-verdicts tbody tr").count() >= 1
    assert page.locator("#request-numbers dt").count() >= 5
    visited.screenshot("request")
    page.reload()
    page.locator("#request[open] #request-timeline li").first.wait_for()
    page.keyboard.press("Escape")
    until(page, "() => !document.querySelector('#request').open && !location.hash")


def test_an_unknown_request_is_explained(router, visit):
    visited = visit(router.url)
    page = visited.open("/dashboard#request=" + "0" * 32)
    until(page, "() => document.querySelector('#request-note').textContent.length > 15")
    assert page.locator("#request-body").is_hidden()
    visited.forgive("404")


def test_an_answer_streams_beside_the_decision(router, visit):
    visited = visit(router.url)
    visited.open()
    page = visited.until_live()
    page.fill("#try-prompt", steer("Prove it", router={"label": "COMPLEX"}))
    page.keyboard.press("Enter")
    page.locator("#try-end a").wait_for()
    assert page.locator("#try-decision .chip").inner_text() == "xai"
    assert "COMPLEX" in page.locator("#try-why").inner_text()
    assert page.locator("#try-verdicts tbody tr").count() >= 1
    assert len(page.locator("#try-log .assistant .text").inner_text()) > 20
    assert page.locator("#try-status").inner_text() == "Answered by xai."
    page.fill("#try-prompt", steer("And now?", router={"label": "SIMPLE"}))
    page.click("#try-send")
    page.locator("#try-status", has_text="Answered by primary.").wait_for()
    assert page.locator("#try-log li").count() == 4
    visited.screenshot("try")
    page.locator("#try-end a").click()
    page.locator("#request[open] #request-timeline li").first.wait_for()


def test_an_answer_can_be_stopped(router, visit):
    visited = visit(router.url)
    visited.open()
    page = visited.until_live()
    page.fill("#try-prompt", steer("Slowly", primary=SLOW))
    page.keyboard.press("Enter")
    until(page, "() => document.querySelector('#try-log .assistant .text')?.textContent.length > 9")
    page.click("#try-stop")
    page.locator("#try-status", has_text="Stopped.").wait_for()
    assert page.locator("#try-send").is_enabled()
    until(page, "() => !document.querySelector('#in-flight tbody tr')")


MARKUP = '<img src=x onerror="window.planted=1"><script>window.planted=1</script>'


def test_markup_in_prompts_and_names_stays_text(router, visit):
    ask(router, MARKUP, model=MARKUP[:40])
    visited = visit(router.url)
    visited.open()
    page = visited.until_live()
    page.fill("#try-prompt", MARKUP)
    page.keyboard.press("Enter")
    page.locator("#try-end a").wait_for()
    assert MARKUP in page.locator("#try-log .user").inner_text()
    page.locator("#try-end a").click()
    page.locator("#request[open] #request-timeline li").first.wait_for()
    assert page.evaluate("window.planted") is None
    assert page.locator("body img, body script").count() == 0


def test_a_router_that_was_never_asked_says_what_to_do(make_router, visit):
    visited = visit(make_router(warm=False).url)
    visited.open()
    page = visited.until_live()
    page.locator("#headline", has_text="No requests yet").wait_for()
    assert "curl" in page.locator("#headline").inner_text()
    for place in ("in-flight", "requests-table", "chart-route", "stages"):
        page.locator(f"#{place} .empty").wait_for()
    for place in ("errors-empty", "fallbacks-empty", "answered-by-empty", "try-empty"):
        assert page.locator(f"#{place}").is_visible()
    visited.screenshot("empty")


def test_a_broken_backend_is_named_in_the_headline(make_router, visit):
    router = make_router()
    broken = {role: {"fault": "error_status"} for role in ("primary", "xai")}
    for _ in range(2):
        assert ask(router, steer("Hello", **broken)).status_code >= 500
    visited = visit(router.url)
    visited.open()
    page = visited.until_live()
    page.locator("#headline[data-level=bad]", has_text="failed in the last 15 min").wait_for()
    page.locator("#errors li", has_text="primary").first.wait_for()
    visited.screenshot("broken")
    page.locator("#errors a").first.click()
    page.locator("#request[open] #request-numbers", has_text="outcome").wait_for()
