"""Signing in, what each role sees, and the token that guards against other sites."""

import pytest
from harness import body, steer

pytestmark = pytest.mark.browser

KEYS = {"API_KEY": "key-of-a-reader", "ADMIN_KEY": "key-of-the-admin"}


@pytest.fixture
def guarded(make_router):
    return make_router(env=KEYS)


def sign_in(page, key):
    page.fill("#key", key)
    page.keyboard.press("Enter")


def test_a_key_is_asked_for_and_a_wrong_one_refused(guarded, visit):
    visited = visit(guarded.url)
    page = visited.open()
    assert page.url.endswith("/dashboard/sign-in")
    visited.screenshot("sign-in")
    sign_in(page, "wrong")
    page.locator("#problem").wait_for()
    visited.forgive("status of 40")
    sign_in(page, KEYS["API_KEY"])
    visited.until_live()
    assert "viewer" in page.locator("footer").inner_text()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/dashboard/sign-in")
    page.goto(guarded.url + "/dashboard")
    assert page.url.endswith("/dashboard/sign-in")


def test_nothing_is_sent_without_the_token_of_the_page(guarded, visit):
    visited = visit(guarded.url)
    page = visited.open()
    sign_in(page, KEYS["API_KEY"])
    visited.until_live()
    for path in ("/dashboard/try", "/dashboard/sign-out", "/dashboard/sign-in"):
        status = page.evaluate(
            "path => fetch(path, { method: 'POST', body: '{}', redirect: 'manual',"
            " headers: { 'Content-Type': 'application/json' } }).then(r => r.status)",
            path,
        )
        assert 400 <= status < 500, path
    visited.forgive("status of 40")
    visited.forgive("status of 415")
    page.reload()  # still signed in
    visited.until_live()


def test_the_admin_sees_messages_or_why_not(guarded, visit):
    text = steer("Who sees this? <b>nobody</b>", router={"label": "SIMPLE"})
    headers = {"Authorization": f"Bearer {KEYS['API_KEY']}"}
    guarded.post("/v1/chat/completions", body(text), headers=headers)
    for key, role in (("API_KEY", "viewer"), ("ADMIN_KEY", "admin")):
        visited = visit(guarded.url)
        page = visited.open()
        sign_in(page, KEYS[key])
        visited.until_live()
        assert role in page.locator("footer").inner_text()
        page.locator("#requests-table tbody tr a").first.click()
        page.locator("#request-body").wait_for()
        messages = page.locator("#request-messages li")
        if role == "admin" and messages.count():
            assert "<b>nobody</b>" in page.locator("#request-messages").inner_text()
        else:
            assert messages.count() == 0
            assert len(page.locator("#request-content").inner_text()) > 10


def test_a_session_that_ended_is_said(guarded, visit):
    visited = visit(guarded.url)
    page = visited.open()
    sign_in(page, KEYS["API_KEY"])
    visited.until_live()
    visited.context.clear_cookies()
    page.select_option("#window", "3600")  # connects anew
    page.locator("#signed-out a").wait_for()
    assert page.locator("#connection").inner_text() == "signed out"
    visited.forgive("status of 40")
    visited.forgive("MIME type")
