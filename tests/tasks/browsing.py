"""What tests see of a page: its plots' specifications, and what a real browser makes of it."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WAIT_MS = 30_000  # two busy cores; a plot takes 50 ms when they are not


def specs(page: str) -> dict[str, Any]:
    """Give the plots of a page by id."""
    found = re.findall(r'<script type="application/json" data-plot="([^"]+)">(.*?)</script>', page, re.S)
    return {name: json.loads(body) for name, body in found}


def look_at(browser: Any, page_text: str, *, folder: Path, width: int, scheme: str) -> None:
    """Assert that a page asks for nothing, complains of nothing, fits its width and draws every plot.

    No plot has a toolbar.
    """
    path = folder / "page.html"
    path.write_text(page_text, encoding="utf-8")
    requests: list[str] = []
    complaints: list[str] = []
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme, offline=True)
    page = context.new_page()
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))

    page.goto(path.as_uri())
    # Not wait_for_function: when it must wait it evaluates strings, which the page's own policy forbids.
    page.wait_for_selector("html[data-plots]", state="attached", timeout=WAIT_MS)

    assert [url for url in requests if not url.startswith(("blob:", "data:"))] == [path.as_uri()]
    assert complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".modebar-btn").count() == 0  # plotly's toolbar would lie upon the plots
    ids = list(specs(page_text))
    sizes = page.evaluate(
        "ids => ids.map(id => document.getElementById(id).getBoundingClientRect().width)", ids
    )
    drawn = page.evaluate(
        "ids => ids.map(id => document.getElementById(id).querySelectorAll('.main-svg path').length)", ids
    )
    assert all(paths > 0 for paths in drawn)
    assert all(0 < size <= width for size in sizes)
    context.close()
