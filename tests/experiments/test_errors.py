"""How an error reads in one line."""

from __future__ import annotations

import pytest

from experiments.errors import first_line, kind_and_first_line


@pytest.mark.parametrize(
    ("error", "line", "with_kind"),
    [
        (ValueError("too few\nimages"), "too few", "ValueError: too few"),
        (OSError("\n \n  late\nmore"), "late", "OSError: late"),
        (ValueError(), "ValueError", "ValueError"),
        (AssertionError(""), "AssertionError", "AssertionError"),
        (RuntimeError(" \n\n\t\r\n"), "RuntimeError", "RuntimeError"),
        (KeyError("x"), "'x'", "KeyError: 'x'"),
    ],
    ids=["several", "blank first", "nothing", "empty", "blank only", "key"],
)
def test_an_error_is_one_line_whatever_its_text(
    error: Exception, line: str, with_kind: str
) -> None:
    assert first_line(error) == line
    assert kind_and_first_line(error) == with_kind


def test_passwords_in_addresses_stay_out_of_it() -> None:
    for text in (
        "no answer from http://me:secret@host/api\nsecret",
        "sqlalchemy: postgresql://me:se/c@ret@host/db?password=secret&x=1 refused",
        "GET https://host/?api_token=secret: 403",
    ):
        for line in (first_line(OSError(text)), kind_and_first_line(OSError(text))):
            assert "secret" not in line
            assert "c@ret" not in line
            assert "host" in line
