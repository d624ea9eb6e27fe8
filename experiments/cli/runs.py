"""The commands `ilsvrc export`, `reproduce` and `register`; nothing heavy is imported here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from experiments.cli.arguments import AsJson, Overrides, fail_unless, only, tracking_uri
from experiments.cli.next_step import say_next
from experiments.presentation.console import print_json, tell
from experiments.presentation.formatting import short_id

STORE_AND_NAMES = "tracking.uri", "evaluate.class_names"
StoreAndNames = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY.PATH=VALUE]...", help="tracking.uri, evaluate.class_names: of the labels."
    ),
]


def export(
    network: Annotated[str, typer.Argument(metavar="RUN_OR_FILE", help="Run id or .keras file.")],
    changes: StoreAndNames = None,
    kind: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="savedmodel, onnx or litert.")
    ] = "savedmodel",
    out: Annotated[Path | None, typer.Option(help="File; folder for savedmodel.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write over another network's file, too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """A trained network for other runtimes, checked against the original on the same images.

    savedmodel: a folder for TensorFlow. onnx: FILE.onnx, needs pip install 'ilsvrc-suite[export]'.
    litert: FILE.tflite, float32. Pixels 0..255 to logits, any batch size. Class names, size, crop
    and the run's id are in its metadata. Not supported: onnx and litert of mixed precision,
    dropout at inference, quantisation, other backends than TensorFlow.
    """
    from experiments.inference import export as command
    from experiments.tracking.store import store_uri

    given = only(changes or [], *STORE_AND_NAMES)
    store = store_uri(given.get(STORE_AND_NAMES[0]))
    done = command.export(network, kind, out, store, given.get(STORE_AND_NAMES[1]), force)
    print_json(done) if as_json else tell(command.text(done))
    if run_id := done["metadata"]["run_id"]:
        step = ["register", short_id(run_id), done["metadata"]["network"]]
        say_next(*[step] if done["metadata"]["output"] != "images" else [], as_json=as_json,
                 uri=given.get(STORE_AND_NAMES[0]))  # fmt: skip


def reproduce(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID")],
    changes: Overrides = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Even if the data have changed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a run again and say which metrics are identical, and how far the others are.

    Takes tracking.uri=..., data.source=... (the same data elsewhere) and launch.*=...
    """
    from experiments.runs import reproduce as command

    document = command.reproduce(run_id, changes or (), anyway=anyway, quiet=as_json)
    print_json(document) if as_json else tell(command.text(document))
    if document["predictions_identical"] is False:
        both = short_id(document["reproduces"]), short_id(document["run_id"])
        store = tracking_uri([word for word in changes or () if word.startswith("tracking.uri=")])
        say_next(["evaluate", *both, "evaluate.reuse=true"], as_json=as_json, uri=store)
    fail_unless(document["status"] == "finished")


def register(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the registered model.")],
    changes: StoreAndNames = None,
    as_json: AsJson = False,
) -> None:
    """A run's network as a version of NAME in MLflow's model registry, pixels to logits.

    NAME-served is the same with everything around it, pictures to labels and probabilities, for
    `mlflow models serve`. Prints how each is used.
    """
    from experiments.inference import registered_model as command
    from experiments.tracking.store import store_uri

    given = only(changes or [], *STORE_AND_NAMES)
    store = store_uri(given.get(STORE_AND_NAMES[0]))
    document = command.register(run_id, name, store, given.get(STORE_AND_NAMES[1]))
    print_json(document) if as_json else tell(command.text(document))
