"""Names from outside are letters on every terminal, and every terminal takes them."""

from __future__ import annotations

import ast
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import inside
from fake_store import row
from rich.table import Table
from rich.text import Text

import experiments
from experiments.comparison import grouping, pareto_front
from experiments.comparison.table import render
from experiments.config import settings
from experiments.errors import FailedWork
from experiments.evaluation import predict
from experiments.inspection import data, zoo
from experiments.jobs.job import Outcome
from experiments.jobs.plan import prepare
from experiments.launch.progress import Display
from experiments.presentation import console
from experiments.presentation.terminal import Terminal

EVIL = "cat\x1b]0;owned\x9b31m[red]:cat:"
SHOWN = r"cat\x1b]0;owned\x9b31m[red]:cat:"


def models():
    console.show(zoo.table([zoo.rows()[0] | {"name": EVIL}]))


def compare():
    rows = [row(EVIL, 1e6, 1e4, 0.9, 0.01)]
    pareto_front.mark(rows)
    facts = {"sources": [EVIL], "devices": ["AMD EPYC"], "precisions": ["float32"]}
    compared = grouping.Comparison(["x"], "test_top1", rows, ["model.name"], **facts)
    console.show(render(compared, 300))


def status():
    from experiments.cli.tracking import status

    (Path(".ilsvrc") / EVIL).mkdir(parents=True)
    status()


def answered():
    predictions = [{"label": EVIL, "probability": 0.9}]
    console.answer([], predict.lines([{"file": EVIL, "predictions": predictions}]), False)


def data_check():
    finding = dict.fromkeys(data.COLUMNS, EVIL)
    numbers = dict.fromkeys(("images", "classes", "corrupt", "duplicates", "across_splits"), 2)
    document = {"findings": [finding], "spec": "folder:x", "fingerprint": "0", **numbers}
    document |= {"parts": {}, "remarks": [EVIL]}
    console.answer(document, data.check_table(document), False)


def progress_lines():
    job = prepare(settings.parse({"name": "x"})).job(("cell", 0))
    with Display(1) as display:
        display.event(job, {"kind": "begin"})
        display.event(job, {"kind": "note", "text": EVIL})
        display.end(job, Outcome(job.path, "failed", error=EVIL))


def complaints():
    console.complain(FailedWork(EVIL))
    console.say(EVIL)


@pytest.mark.parametrize(
    "command", [models, compare, status, answered, data_check, progress_lines, complaints]
)
def test_a_name_does_not_command_the_terminal(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    command()
    text = "".join(capsys.readouterr())
    assert SHOWN in text.replace("\n", "")
    assert not set("\x1b\x9b") & set(text)


def test_bars_move_the_cursor_and_names_do_not():
    file = io.StringIO()
    terminal = Terminal(file=file, force_terminal=True, width=120, color_system=None)
    table = Table("name")
    table.add_row(EVIL)
    terminal.print(table, Text(EVIL))
    assert file.getvalue().count(SHOWN) == 2
    assert "\x1b]" not in file.getvalue()
    lines = [line for line in file.getvalue().splitlines() if line.startswith(("│", "┃", "┏"))]
    assert len({len(line) for line in lines}) == 1  # cells are as wide as what stands in them
    terminal.show_cursor(False)
    assert file.getvalue().endswith("\x1b[?25l")


def test_nothing_is_printed_past_the_console():
    """Workers print JSON to their coordinator; all else goes through one room."""
    for path in Path(experiments.__file__).parent.rglob("*.py"):
        if path.name in ("console.py", "terminal.py") or path.name.endswith("_worker.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            name = node.func.id if isinstance(node, ast.Call) and hasattr(node.func, "id") else ""
            assert name not in ("print", "Console"), f"{path}:{node.lineno}"


def ilsvrc(*words, shell="", **environment):
    command = " ".join([str(Path(sys.executable).with_name("ilsvrc")), *words, shell])
    return subprocess.run(
        ["bash", "-c", command], capture_output=True, env=os.environ | environment, timeout=120
    )


@pytest.mark.parametrize(
    "encoding",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": ""},
    ],
)
def test_a_terminal_without_utf8_gets_ascii(encoding):
    done = ilsvrc("models", **encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"resnet50 " in done.stdout.decode("ascii").encode()
    assert b"\\u" not in done.stdout


def test_letters_without_ascii_have_stand_ins(monkeypatch):
    bare = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", bare)
    with console.standard_streams():
        console.tell("98.7 ± 0.2 ● 한 \udcff")
    assert bare.buffer.getvalue() == b"98.7 +- 0.2 * \\ud55c \\udcff\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("words", [["models"], ["models", "--json"], ["--help"], ["status"]])
def test_a_full_output_is_one_line(words, tmp_path):
    done = ilsvrc(*words, shell="> /dev/full")
    assert done.returncode == 1
    assert done.stderr.decode() == (
        "ilsvrc: standard output cannot be written (No space left on device)\n"
    )


@pytest.mark.parametrize("words", [["models"], ["models", "--json"], ["--help"]])
def test_a_closed_pipe_ends_quietly(words):
    done = ilsvrc(*words, shell="| true")
    assert (done.stdout, done.stderr) == (b"", b"")


def test_other_failures_of_files_keep_their_trace(monkeypatch):
    with pytest.raises(OSError, match="elsewhere"), console.standard_streams():
        raise OSError(28, "elsewhere")


def test_bad_input_still_exits_with_2(monkeypatch, capsys):
    assert inside(monkeypatch, "describe", "lenet\x1b5") == 2
    assert r"lenet\x1b5" in capsys.readouterr().err
