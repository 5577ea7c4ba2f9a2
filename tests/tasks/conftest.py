"""Fixtures of the tests that look at pages."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.tasks.browsing import CHROMIUM


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Give a real headless Chromium; skip, saying so, without one."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: the page is not looked at")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()
