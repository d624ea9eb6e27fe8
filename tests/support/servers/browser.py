"""A browser for tests that look at pages."""

from __future__ import annotations

import os

import pytest

from experiments.reporting.ui.browser import BROWSERS, find_browser


def browser() -> str:
    """Its path. Without one the test is skipped, but fails in CI, where there must be one."""
    path = find_browser()
    if path is None:
        reason = f"no browser to look at the page with: install one of {', '.join(BROWSERS)}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path
