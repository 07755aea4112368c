"""The system's Chromium, driven by playwright: no browser of its own is downloaded, and nothing outside is asked."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SILENT = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--disable-gpu",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # no other host has an address
]
NO_ASSISTANT = """
localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
"""
"""MLflow's assistant opens by itself on the first visit, over a third of the window."""


def find() -> str | None:
    """Path of a browser: BENCH_CHROMIUM, or one on the PATH."""
    named = os.environ.get("BENCH_CHROMIUM")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def launched(path: str) -> Iterator[Browser]:
    sandbox = [] if os.geteuid() else ["--no-sandbox"]  # Chromium refuses root a sandbox
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*SILENT, *sandbox])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def window(
    browser: Browser, width: int = 1500, height: int = 900
) -> Iterator[tuple[BrowserContext, list[str]]]:
    """A fresh profile's window, and the addresses that its pages ask for, in order."""
    context = browser.new_context(viewport={"width": width, "height": height})
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    context.add_init_script(NO_ASSISTANT)
    context.set_default_timeout(30_000)
    expect.set_options(timeout=30_000)  # has a default of its own, of 5 s: too short on a loaded machine
    try:
        yield context, asked
    finally:
        context.close()
