"""Every test works in a folder of its own and never sees the user's tracking store."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator

import hypothesis
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# The same examples on every machine, and nothing kept between two runs: a failure comes again.
hypothesis.settings.register_profile(
    "suite",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=40,
    print_blob=False,
    suppress_health_check=list(hypothesis.HealthCheck),
)

# Other examples each time, and many; the blob it prints brings a failure back.
hypothesis.settings.register_profile(
    "explore",
    hypothesis.settings.get_profile("suite"),
    derandomize=False,
    max_examples=1000,
    print_blob=True,
)

hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """On Linux, CI has everything installed: a test to be skipped fails, and says what it lacks."""
    report = yield
    skipped = report.skipped and not hasattr(report, "wasxfail")
    if skipped and sys.platform == "linux" and os.environ.get("CI"):
        _, _, reason = report.longrepr
        report.outcome, report.longrepr = "failed", f"CI may skip nothing. {reason}"
    return report


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path
