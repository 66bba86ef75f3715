"""Fixtures: a browser for the whole run, and for each test a fresh profile that notes what goes wrong.

XIAOHU_URL  the server to test (the real one in CI). Without it, and for tests that need a hostile or broken server,
            a stand-in is started; it serves the page of the build in XIAOHU_PAGE_DIR or build/release/web/dist.
"""

import os
from urllib.parse import urlsplit

import pytest

from browser import DESKTOP, chromium
from mock_server import MockServer


@pytest.fixture(scope="session")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture
def mock():
    server = MockServer().start()
    yield server
    server.shutdown()


@pytest.fixture
def base_url(request):
    return os.environ.get("XIAOHU_URL") or request.getfixturevalue("mock").url


class Watch:
    """What a page did that it must not: script errors, policy violations, requests to other origins."""

    def __init__(self, origin):
        self.origin, self.faults = origin, []

    def attach(self, context):
        context.on("request", self.request)
        context.on("page", self.page)

    def request(self, request):
        url = urlsplit(request.url)
        if url.scheme not in ("blob", "about") and f"{url.scheme}://{url.netloc}" != self.origin:
            self.faults.append("request to " + request.url)

    def page(self, page):
        page.on("pageerror", lambda error: self.faults.append("error: " + str(error)))
        page.on("dialog", lambda dialog: (self.faults.append("dialog: " + dialog.message), dialog.dismiss()))
        page.on("console", lambda m: self.faults.append("console: " + m.text) if "Content Security Policy" in m.text or "plain text" in m.text else None)


@pytest.fixture
def open_page(browser):
    """open_page(url, **context options) → a page of a fresh profile, with an empty conversation on display."""
    opened = []

    def open_(url, **options):
        context = browser.new_context(**{"locale": "en-US", **DESKTOP, **options})
        origin = urlsplit(url)
        watch = Watch(f"{origin.scheme}://{origin.netloc}")
        watch.attach(context)
        opened.append((context, watch))
        page = context.new_page()
        page.set_default_timeout(60_000 if os.environ.get("XIAOHU_URL") else 15_000)
        page.watch = watch
        page.goto(url)
        page.locator("#message").wait_for()
        return page

    yield open_
    for context, watch in opened:
        context.close()
    for _, watch in opened:
        assert watch.faults == []


@pytest.fixture
def page(open_page, base_url):
    return open_page(base_url)
