"""The commands `ilsvrc train`, `sweep` and `ensemble`; nothing heavy is imported here."""

from __future__ import annotations

from typing import Any

from experiments.cli.arguments import (
    AsJson,
    ConfigFile,
    DryRun,
    EveryKey,
    Overrides,
    Rate,
    fail_unless,
)
from experiments.cli.next_step import REPEAT, of_run, say_next
from experiments.presentation.console import print_json, say, show, tell
from experiments.presentation.formatting import short_id


def train(
    config: ConfigFile,
    changes: Overrides = None,
    dry_run: DryRun = False,
    images_per_second: Rate = None,
    every_key: EveryKey = False,
    as_json: AsJson = False,
) -> None:
    """Train one network, tracked; test it once at the end. With validation.folds: on each fold."""
    from experiments.config import settings

    checked = settings.load(config, changes or ())
    from experiments.runs import train as command

    if checked.sweep.axes:
        say(command.one_of_the_sweep(checked, str(config)))
    if dry_run:
        from experiments.runs.cells import plan_cell

        cell = plan_cell(checked, None, ("run",))
        words = filter(None, (command.headline(cell.plan), command.folds_in_words(cell)))
        _dry_run(cell.plan.config, [cell], as_json, every_key, images_per_second, "; ".join(words))
        return
    result = command.train(checked, quiet=as_json)
    if as_json:
        print_json(result)
    else:
        # only the first of several hosts keeps a run
        name = f"run {short_id(result['run_id'])}" if result["run_id"] else "this host"
        tell(f"{name} {result['status']}")
        if "folds" in result:
            from experiments.runs.folds import in_words

            for line in in_words(result):
                tell(line)
            if "error" in result:
                say(f"failed: {result['error']}; the same command tries only these folds again")
    if result["run_id"] and result["status"] == "finished":
        after = of_run(checked, result["run_id"])
        if "folds" in result:  # whose run is a mean, and no network
            after = [["compare", checked.name], ["ui", "--open"]]
        say_next(*after, as_json=as_json, uri=checked.tracking.uri)
    fail_unless(result["status"] == "finished")


def sweep(
    config: ConfigFile,
    changes: Overrides = None,
    dry_run: DryRun = False,
    images_per_second: Rate = None,
    every_key: EveryKey = False,
    as_json: AsJson = False,
) -> None:
    """Train every combination of the config's sweep axes; run again to continue."""
    from experiments.config import settings

    checked = settings.load(config, changes or ())
    from experiments.runs import cells as planned
    from experiments.runs import sweep as command

    planned.check_axes(checked, str(config))
    if dry_run:
        rounds = command.Rounds(checked, str(config)) if checked.sweep.until else None
        cells = rounds.cells if rounds else list(planned.plan_cells(checked, str(config)))
        line = rounds.announcement() if rounds else planned.announcement(checked, cells)
        head = line + planned.sizes_differ(checked, cells)
        most = rounds.most if rounds else None
        _dry_run(checked, cells, as_json, every_key, images_per_second, head, most)
        return
    result = command.sweep(checked, str(config))
    if as_json:
        print_json(result)
    failed = [run for run in result["runs"] if run["status"] != "finished"]
    for run in failed:
        say(f"failed: run {short_id(run['run_id'])}: {run.get('error')}")
    # not NAME alone, which is what the folder of the images is called after `init`
    compare = [["compare", checked.name, "--out", f"{checked.name}-comparison"]]
    say_next(
        *compare if len(failed) < len(result["runs"]) else (),
        as_json=as_json, uri=checked.tracking.uri, note=REPEAT if failed else "",
    )  # fmt: skip
    fail_unless(not failed)


def ensemble(
    config: ConfigFile,
    changes: Overrides = None,
    dry_run: DryRun = False,
    images_per_second: Rate = None,
    every_key: EveryKey = False,
    as_json: AsJson = False,
) -> None:
    """Average several networks' probabilities, against the best of them; run again to continue."""
    from experiments.config import settings

    checked = settings.load(config, changes or ())
    from experiments.runs import ensemble as command
    from experiments.runs.members import plan_team
    from experiments.runs.train import headline

    if dry_run:
        cells = plan_team(checked, str(config)).cells
        plan = cells[0].plan
        _dry_run(plan.config, cells, as_json, every_key, images_per_second, headline(plan))
        return
    result = command.ensemble(checked, str(config))
    failed = [member for member in result["members"] if member["status"] != "finished"]
    if as_json:
        print_json(result)
    elif not failed:
        show(command.render(result))
    for member in failed:
        say(f"failed: {member['name']}: {member.get('error')}")
    compare = [["compare", checked.name, "--level", "ensemble"]]
    say_next(
        *() if failed else compare,
        as_json=as_json, uri=checked.tracking.uri, note=REPEAT if failed else "",
    )  # fmt: skip
    fail_unless(not failed)


def _dry_run(
    config: Any,
    cells: list[Any],
    as_json: bool,
    every_key: bool,
    images_per_second: float | None,
    head: str,
    most: int | None = None,
) -> None:
    """`most`: so many runs it may come to, where it begins with these cells."""
    from experiments.config.settings import changed_yaml, to_yaml
    from experiments.jobs.composition import remarks
    from experiments.runs import forecast
    from experiments.runs.train import dry_run

    plan, fits = cells[0].plan, [fit for cell in cells for fit in cell.fits]
    document = dry_run(plan, len(fits)) | forecast.forecast(fits)
    if most is not None:
        document["fits_at_most"] = most * len(cells[0].fits)
    document["training"] = forecast.training(fits, images_per_second)
    if as_json:
        print_json(document)
        return
    cost, update = document["cost"], document["update"]
    tell(to_yaml(config) if every_key else changed_yaml(config.model_dump(mode="json")))
    tell(head)
    for line in dict.fromkeys(x for c in cells for x in remarks(c.plan.source, c.plan.parts)):
        tell(line)
    for line in dict.fromkeys(line for cell in cells for line in cell.notes):
        tell(line)
    for line in dict.fromkeys(filter(None, (cell.plan.to_beat for cell in cells))):
        tell(line)
    if len(fits) > 1:
        show(forecast.table(document))
    else:
        tell(
            f"{cost['params']:,} params, {cost['macs']:,} MACs, "
            f"{cost['activation_bytes']:,} activation bytes an image"
        )
    tell(
        f"{update['images']} images an update, parts: {update['parts']}; learning rate before its "
        f"schedule: {update['learning_rate']:g} (scaling: {update['scaling']})"
        f"{', in run 1' if len(fits) > 1 else ''}"
    )
    tell(forecast.training_in_words(document["training"], config.model.name))
    tell(f"{forecast.summary(document)}; nothing was trained (--dry-run)")
