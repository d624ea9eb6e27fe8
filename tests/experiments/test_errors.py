"""How an error reads in one line."""

from __future__ import annotations

import pytest

from experiments.errors import first_line, kind_and_first_line, shown


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


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("mysql://host/db?user=me&passwd=hidden", "mysql://host/db?user=me&passwd=..."),
        ("x?odbc_connect=SERVER%3Dhost%3BPWD%3Dhidden&y=1", "x?odbc_connect=...&y=1"),
        ("SERVER=host;UID=me;PWD=hidden;x=1", "SERVER=host;UID=me;PWD=...;x=1"),
        ("PWD={hid;den}; host", "PWD=...; host"),
        ("https://host/?api_key=hidden&x=1", "https://host/?api_key=...&x=1"),
        ("https://host/blob?sv=2&sig=hid%2Bden&se=1", "https://host/blob?sv=2&sig=...&se=1"),
        ("https://host?key=hidden", "https://host?key=..."),
        ("Authorization: Bearer hid.den-1 refused", "Authorization: Bearer ... refused"),
        ("{'Authorization': 'Basic aGlk=='}", "{'Authorization': 'Basic ...'}"),
        ("X-Api-Key: hidden refused", "X-Api-Key: ... refused"),
        ("postgresql://me:my hidden pass@host/db refused", "postgresql://host/db refused"),
        ("train.augment: unknown key: flip; valid: crop", None),
        ("sqlite:///a.db is away; ask me@host.org", None),
    ],
)
def test_secrets_stay_out_of_it_and_the_rest_in(text: str, without: str | None) -> None:
    assert shown(text) == (text if without is None else without)


GRAPH = "Graph execution error:\n\nDetected at node {} defined at (most recent call last):\n{}{}"
TRACELESS = "<stack traces unavailable>\n"
FRAMES = '  File "a.py", line 1, in <module>\n\n  File "b.py", line 3, in g\n    x = f()\n\n'
WRAPPED = "{{function_node __wrapped__IteratorGetNext_output_types_2_device_/job:a}} "


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            GRAPH.format("ReadFile", TRACELESS, "a/0.png; No such file or directory\n")
            + "\t [[{{node ReadFile}}]]\n\t [[IteratorGetNext]] [Op:__inference_multi_step_675]",
            "a/0.png; No such file or directory",
        ),
        (GRAPH.format("MatMul", FRAMES, "Matrix size-incompatible: [2,3]\n\t [[{{node MatMul}}]]"),
         "Matrix size-incompatible: [2,3]"),
        (WRAPPED + "{{function_node __other_269}} Invalid PNG data, size 200\n\t [[{{a}}]]",
         "Invalid PNG data, size 200"),
        (WRAPPED + "OOM when allocating [Op:Fill] name: ", "OOM when allocating"),
        (
            GRAPH.format("PyFunc", TRACELESS, "Error in user-defined function passed to MapDataset "
            "transformation with iterator: Iterator::Root::Map: OSError: a.tar: cut\nTraceback ("),
            "OSError: a.tar: cut",
        ),
        ('in user code:\n\n    File "a.py", line 3, in g  *\n        f(a)\n\n    ValueError: bad\n',
         "ValueError: bad"),
        ("Exception encountered when calling Dense.call().\n\n\x1b[1mInput 0 is bad\x1b[0m\n\n"
         "Arguments received by Dense.call():\n  x=1", "Input 0 is bad"),
        ("\n\n plain words\nmore", "plain words"),
        ("Graph execution error:\n\n", "RuntimeError"),
        ("", "RuntimeError"),
    ],
)  # fmt: skip
def test_the_line_shown_says_what_went_wrong_and_not_where(text, said):
    assert first_line(RuntimeError(text)) == said
