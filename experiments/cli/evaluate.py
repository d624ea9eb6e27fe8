"""The commands `ilsvrc evaluate` and `ilsvrc predict`. Nothing heavy is imported here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from experiments.cli.arguments import AsJson, fail_unless
from experiments.cli.next_step import say_next
from experiments.errors import BadInput
from experiments.presentation.console import answer, complain, say

NAMED = re.compile(r"[A-Za-z][\w-]*=.+")
CHANGE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+=")


def evaluate(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="NETWORK... [KEY.PATH=VALUE]...",
            help="Run ids, .keras files, architectures (NAME:imagenet, NAME:FILE, or with "
            "model.weights); and settings, such as data.source, evaluate.protocol.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder for tables, figures and predictions.")
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=DIR...",
            help="Further sets to score, beside the main one: folders, sources (X=ilsvrc:DIR), or "
            "the main set's images under other labels (REAL=real.json).",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score networks on images: each, their ensemble, and tests between every two."""
    networks, changes = sorted_words(words)
    further = list(sets or ())
    if further:  # an option takes one word: of --sets A=DIR B=DIR the second is an argument
        further += [word for word in networks if NAMED.fullmatch(word) and not Path(word).exists()]
        networks = [word for word in networks if word not in further]
    if wrong := [word for word in further if not NAMED.fullmatch(word)]:
        raise BadInput(
            f"--sets: expected NAME=DIR, NAME=SOURCE or NAME=FILE.json. Received: {wrong[0]}"
        )
    if not networks:
        raise BadInput("evaluate: name a run id, a .keras file or an architecture with weights")
    from experiments.evaluation import evaluate as command
    from experiments.evaluation import output

    def show(document: dict[str, Any]) -> None:
        if not as_json:
            answer(document, output.parts(document), as_json)

    document = command.evaluate(networks, changes, out, further, quiet=as_json, say=say, show=show)
    if as_json:
        answer(document, [], as_json)
    if out is None:
        sets_again = (word for each in sets or () for word in ("--sets", each))
        again = ["evaluate", *words, *sets_again, "--out", "evaluation"]
        say_next(again, as_json=as_json, note="which writes confusion and scores by class")


def predict(
    network: Annotated[str, typer.Argument(metavar="NETWORK", help="As for evaluate.")],
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="IMAGE... [KEY.PATH=VALUE]...", help="Image files, or folders of them."
        ),
    ] = None,
    explain: Annotated[
        Path | None, typer.Option(help="Folder for Grad-CAM pictures: where the network looked.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The five most probable classes of pictures.

    A picture that cannot be read is named on stderr, and the exit code is 1; with --json it has an
    error. data.on_corrupt=skip leaves it out.
    """
    images, changes = sorted_words(words or [])
    if not images:
        if Path(network).exists() and not network.endswith(".keras"):
            raise BadInput(
                f"predict: name a network before the pictures: ilsvrc predict RUN_ID {network}; "
                "run ids are listed by: ilsvrc status NAME"
            )
        raise BadInput("predict: name a picture or a folder of pictures")
    from experiments.evaluation.predict import complaints, lines
    from experiments.evaluation.predict import predict as classify

    rows = classify(network, images, changes, explain, quiet=as_json, say=say)
    answer(rows, lines(rows), as_json)
    bad = complaints(rows)
    for line in bad:
        complain(line)
    fail_unless(not bad)


def sorted_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """What a command names, and the settings among it; a file may have = in its name."""
    changes = [word for word in words if CHANGE.match(word) and not Path(word).exists()]
    return [word for word in words if word not in changes], changes
