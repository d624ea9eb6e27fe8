"""The commands `ilsvrc train`, `sweep` and `ensemble`; nothing heavy is imported here."""

from __future__ import annotations

from typing import Any

from experiments.cli.arguments import AsJson, ConfigFile, DryRun, Overrides, fail_unless
from experiments.presentation.console import print_json, say, show, tell


def train(
    config: ConfigFile, changes: Overrides = None, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Train one network, tracked; test it once at the end."""
    from experiments.config import settings

    checked = settings.load(config, changes or ())
    if dry_run:
        _dry_run(checked, 1, as_json)
        return
    from experiments.runs import train as command

    result = command.train(checked, quiet=as_json)
    if as_json:
        print_json(result)
    else:
        # only the first of several hosts keeps a run
        name = f"run {result['run_id']}" if result["run_id"] else "this host"
        tell(f"{name} {result['status']}")
    fail_unless(result["status"] == "finished")


def sweep(
    config: ConfigFile, changes: Overrides = None, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Train every combination of the config's sweep axes; run again to continue."""
    from experiments.config import settings

    checked = settings.load(config, changes or ())
    from experiments.runs import sweep as command

    command.check_axes(checked, str(config))
    if dry_run:
        cells = list(command.plan_cells(checked, str(config)))
        _dry_run(checked, len(cells), as_json, cells[0].plan)
        return
    result = command.sweep(checked, str(config))
    if as_json:
        print_json(result)
    failed = [run for run in result["runs"] if run["status"] != "finished"]
    for run in failed:
        say(f"failed: run {run['run_id']}: {run.get('error')}")
    fail_unless(not failed)


def ensemble(
    config: ConfigFile, changes: Overrides = None, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Average several networks' probabilities, against the best of them; run again to continue."""
    from experiments.config import settings

    checked = settings.load(config, changes or ())
    from experiments.runs import ensemble as command
    from experiments.runs.members import plan_team

    if dry_run:
        cells = plan_team(checked, str(config)).cells
        _dry_run(checked, len(cells), as_json, cells[0].plan)
        return
    result = command.ensemble(checked, str(config))
    failed = [member for member in result["members"] if member["status"] != "finished"]
    if as_json:
        print_json(result)
    elif not failed:
        show(command.render(result))
    for member in failed:
        say(f"failed: {member['name']}: {member.get('error')}")
    fail_unless(not failed)


def _dry_run(config: Any, fits: int, as_json: bool, plan: Any = None) -> None:
    from experiments.config.settings import to_yaml
    from experiments.jobs.composition import remarks
    from experiments.jobs.plan import prepare
    from experiments.runs.train import dry_run, headline

    plan = plan or prepare(config)
    document = dry_run(plan, fits)
    if as_json:
        print_json(document)
        return
    cost, update = document["cost"], document["update"]
    tell(to_yaml(plan.config))
    tell(headline(plan))
    for line in remarks(plan.source, plan.parts):
        tell(line)
    tell(
        f"{cost['params']:,} params, {cost['macs']:,} MACs, "
        f"{cost['activation_bytes']:,} activation bytes an image"
    )
    tell(
        f"{update['images']} images an update, parts: {update['parts']}; learning rate before its "
        f"schedule: {update['learning_rate']:g} (scaling: {update['scaling']})"
    )
    tell(f"{fits} fit{'s' if fits > 1 else ''}; nothing was trained (--dry-run)")
