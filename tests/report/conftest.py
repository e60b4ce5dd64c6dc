"""Runs made up, and a browser that opens their pages."""

from __future__ import annotations

import shutil

import pytest
from made_runs import fabricate, fabricate_cv


@pytest.fixture
def make_run(tmp_path):
    """A function that fabricates a run; the pictures of every second mistake are on the disk."""
    return fabricate(tmp_path)


@pytest.fixture(scope="session")
def cv_run(tmp_path_factory):
    """A finished cv run of five folds; not to be written to."""
    root = tmp_path_factory.mktemp("cv")
    return fabricate_cv(root, ["oak", "beech", "silver birch", "maple"])


@pytest.fixture(scope="session")
def _tree_run(tmp_path_factory):
    return fabricate(tmp_path_factory.mktemp("trees"))(["oak", "beech", "silver birch", "maple"])


@pytest.fixture
def trees(_tree_run, tmp_path):
    """A copy of one run with four classes, quicker than a new one."""
    return shutil.copytree(_tree_run, tmp_path / "runs" / _tree_run.name)


@pytest.fixture(scope="session")
def browser():
    """A Chromium without a window; tests of it are marked ``browser``."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("there is no Chromium on this machine")
    with sync_api.sync_playwright() as play:
        found = play.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"]
        )
        yield found
        found.close()


@pytest.fixture
def opened(browser):
    """A function that opens a page and notes what it asks for and complains about."""
    contexts = []

    def open_page(path, **options):
        context = browser.new_context(**options)
        context.set_default_timeout(120_000)  # many tests may share the machine
        contexts.append(context)
        page = context.new_page()
        page.heard = []
        page.on("request", lambda request: page.heard.append(request.url))
        page.on("console", lambda message: page.heard.append(message.text))
        page.on("pageerror", lambda error: page.heard.append(str(error)))
        page.on("dialog", lambda dialog: page.heard.append(f"dialog {dialog.message}"))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]")
        page.print = lambda: page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.draw_all = lambda: (
            page.print() or page.evaluate("dispatchEvent(new Event('afterprint'))")
        )
        return page

    yield open_page
    for context in contexts:
        context.close()
