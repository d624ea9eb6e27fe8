"""What a person reads while runs go on, where there is no terminal to draw in."""

from __future__ import annotations

from dataclasses import replace

from experiments.config import settings
from experiments.jobs.job import Outcome
from experiments.jobs.pace import Work
from experiments.jobs.plan import prepare
from experiments.launch import progress
from experiments.launch.progress import Display

EPOCH = {"train_loss": 0.5, "val_loss": 0.25, "val_top1": 0.9123, "learning_rate": 0.1}


def job():
    return prepare(settings.parse({"train": {"epochs": 3}})).job(("cell", 0))


def test_one_line_an_epoch_and_one_a_run(capsys):
    work = job()
    with Display(2, every_epoch=True) as display:
        display.event(work, {"kind": "begin"})
        display.event(work, {"kind": "progress", "step": 1, "steps": 51})
        display.event(work, {"kind": "epoch", "epoch": 1, "values": EPOCH})
        display.event(work, {"kind": "note", "text": "4 layers copied"})
        display.end(work, Outcome(work.path, "finished", scores={"test_top1": 0.955}))
        display.end(work, Outcome(work.path, "failed", error="the loss became NaN"))
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0] == "epoch 1/3  train loss 0.500, val loss 0.250, val top-1 91.23%"
    assert lines[1] == "lenet5 seed 1: 4 layers copied"
    assert lines[2].startswith("[1/2] lenet5 seed 1: finished, test top-1 95.50% (")
    assert lines[3].startswith("[2/2] lenet5 seed 1: failed, the loss became NaN (")


def test_a_sweep_says_one_line_a_run_only(capsys):
    work = job()
    with Display(1) as display:
        display.event(work, {"kind": "begin"})
        display.event(work, {"kind": "epoch", "epoch": 1, "values": EPOCH})
        display.end(work, Outcome(work.path, "finished", scores={"val_top1": 0.5}))
    assert len(capsys.readouterr().err.splitlines()) == 1


class Clock:
    """`time` for the display, moved by hand."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_without_a_terminal_a_line_a_minute_weighs_the_rest_by_its_work(capsys, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    first, second = (replace(job(), path=("cell", number)) for number in (0, 1))
    works = {first.path: Work(9e6, 100), second.path: Work(39e6, 100)}  # four times the work
    with Display(2, works=works) as display:
        display.event(first, {"kind": "begin"})
        for step in range(1, 14):
            clock.now += 10
            display.event(first, {"kind": "progress", "step": step, "steps": 30})
        display.event(first, {"kind": "epoch", "epoch": 2, "values": EPOCH})
        clock.now += 10
        display.end(first, Outcome(first.path, "finished", scores={"val_top1": 0.5}), "0123456789")
    lines = capsys.readouterr().err.splitlines()
    # 30 steps of 10 s, and 4 x 30 more of the other
    assert lines[0] == "[0/2] lenet5 seed 1: 20%, training; about 24 min to go"
    assert lines[1] == "[0/2] lenet5 seed 1: 40%, training; about 23 min to go"
    assert lines[2].endswith("finished, val top-1 50.00% (140 s, run 01234567)")
    assert len(lines) == 3


def test_fits_of_which_nothing_is_known_take_as_long_as_those_before(capsys, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    work = job()
    with Display(5, workers=2) as display:
        assert display.seconds_left() is None
        for seconds in (100, 120):
            display.event(work, {"kind": "begin"})
            clock.now += seconds
            display.drop(work)
        assert display.seconds_left() == 3 * 110 / 2
    assert capsys.readouterr().err == ""
