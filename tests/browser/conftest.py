"""A real Chromium, headless, driven by Playwright, and what it sees of a page."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from pytest_taskprogress.report.page import write
from tests.servers import lacking, need

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")

_USUAL: Final = {"viewport": {"width": 1200, "height": 900}}

#: How large a picture is, of how many colours, and how light: 0 to 255.
_LOOK_AT: Final = """async (picture) => {
  const bytes = Uint8Array.from(atob(picture), (each) => each.charCodeAt(0));
  const image = await createImageBitmap(new Blob([bytes]));
  const context = new OffscreenCanvas(image.width, image.height).getContext("2d");
  context.drawImage(image, 0, 0);
  const data = new Uint32Array(context.getImageData(0, 0, image.width, image.height).data.buffer);
  const light = data.reduce((sum, each) => sum + ((each >> 8) & 255), 0) / data.length;
  return { width: image.width, height: image.height, colours: new Set(data).size, light };
}"""


@dataclass
class Seen:
    """A page that is open.

    Attributes:
        page: Playwright's.
        errors: What was said on the console, thrown, or asked in a dialog.
        requests: Addresses that were asked for.
    """

    page: Any
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def shown(self) -> str:
        """What the page says is shown."""
        return str(self.page.inner_text("#shown"))

    def picture(self, path: Path, **options: Any) -> Mapping[str, float]:
        """A screenshot, stored; how large it is, of how many colours, and how light."""
        picture = base64.b64encode(self.page.screenshot(path=path, **options)).decode()
        found: Mapping[str, float] = self.page.evaluate(_LOOK_AT, picture)
        return found


Opened = Callable[..., AbstractContextManager[Seen]]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser of the module's own: while it runs, nothing else may use asyncio."""
    need({"playwright": "playwright"})
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        lacking("no Chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def usual_page(chromium: Any) -> Any:
    """A page that tests use one after the other, as making one takes longer than most of them."""
    return chromium.new_page(**_USUAL)


@pytest.fixture
def opened(chromium: Any, usual_page: Any, tmp_path: Path) -> Opened:
    """Opens the page of some data; with options of Playwright's, in a page of its own."""

    @contextmanager
    def opens(data: Mapping[str, Any], **options: Any) -> Iterator[Seen]:
        path = tmp_path / "report.html"
        write(path, data)
        page = chromium.new_page(**{**_USUAL, **options}) if options else usual_page
        page.set_default_timeout(5_000)
        seen = Seen(page)
        listeners = {
            "console": lambda message: seen.errors.append(message.text),
            "pageerror": lambda error: seen.errors.append(str(error)),
            "dialog": lambda dialog: (seen.errors.append(dialog.message), dialog.dismiss()),
            "request": lambda request: seen.requests.append(request.url),
        }
        for event, listener in listeners.items():
            page.on(event, listener)
        try:
            page.goto(path.as_uri())
            yield seen
        finally:
            for event, listener in listeners.items():
                page.remove_listener(event, listener)
            if options:
                page.close()

    return opens
