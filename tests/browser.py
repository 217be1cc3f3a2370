"""A headless Chromium, on the PATH or playwright's own; `.ci/browser` installs what is needed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ON_PATH = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OFFLINE = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def started() -> Iterator[Any]:
    """A browser; a test that asks for one is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as player:
        if ON_PATH is None and not Path(player.chromium.executable_path).exists():
            pytest.skip("there is no Chromium")
        browser = player.chromium.launch(executable_path=ON_PATH, args=OFFLINE)
        yield browser
        browser.close()


class Opened:
    """A page, and all that it said and asked for."""

    def __init__(self, browser: Any, file: Path, scheme: str = "light", width: int = 1100) -> None:
        self.file = file
        self.page = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}).new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(file.as_uri())

    def until(self, expression: str, seconds: float = 10) -> None:
        """Waits for what `wait_for_function` may not evaluate again under the page's policy."""
        for _ in range(int(seconds / 0.02)):
            if self.page.evaluate(expression):
                return
            self.page.wait_for_timeout(20)
        raise AssertionError(f"{expression} did not come true")

    def is_silent(self) -> bool:
        """Nothing in the console, and nothing asked for but the page itself and what lies within it."""
        return not self.said and [url for url in self.asked if not url.startswith("data:")] == [self.file.as_uri()]

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - innerWidth"))
