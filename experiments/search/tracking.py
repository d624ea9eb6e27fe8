"""MLflow of a search: one parent, one run a trial written in one go when the trial ends.

A trial that takes longer than LIVE_SECONDS has its run from then on, and curves that grow; a refit
has it from its first epoch.

The store is asked once, at the start, what it holds of this search; so a start after a kill sends
what is missing and doubles nothing. All of it is measured in `seconds`.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from experiments.config import settings
from experiments.config.identity import config_hash, group_hash
from experiments.config.settings import to_yaml
from experiments.jobs.composition import DATA, document
from experiments.jobs.job import Job, Outcome, path_text
from experiments.presentation.formatting import run_title
from experiments.search import trial_run
from experiments.search.study import Study
from experiments.search.trial_run import TrialRun
from experiments.tracking import provenance
from experiments.tracking.delivery import Opening, open_run
from experiments.tracking.experiment import Experiment, forgiving, params_of
from experiments.tracking.initial import ALL, ALL_BUT_TEST, TRAINED_ON
from experiments.tracking.run_log import METRIC_BATCH, PARAM_BATCH, RunLog, complete, text
from experiments.tracking.store import answers
from experiments.tracking.tracked_run import CARD, FINAL, NOTE, SUPERSEDED

LIVE_SECONDS = 10.0  # between sendings of what a trial under way has reached
REST_SECONDS = 60.0  # after a store that failed, whose every call waits for retries
ALL_OF_THEM = 1000  # runs that the store is asked for at a time


@dataclass
class _Live:
    """The run of a trial or refit under way, if it has one yet, and what waits to be sent to it."""

    due: float = 0.0
    """When that is sent, on the monotonic clock."""
    run_id: str = ""
    known: set[tuple[str, int]] = field(default_factory=set)
    """Names and steps of the points of its curves."""
    metrics: list[Any] = field(default_factory=list)
    params: list[Any] = field(default_factory=list)
    opening: Opening | None = None
    """Of a refit, once the store was asked to make its run."""

    def remember(self, fold: int | None, epoch: int, values: Mapping[str, float]) -> None:
        """The points of an epoch wait to be sent, unless they are known."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        for name, value in trial_run.curve(fold, values):
            if (name, epoch) not in self.known:
                self.known.add((name, epoch))
                self.metrics.append(Metric(name, value, now, epoch))


class SearchRuns:
    """The parent run of a search and its children.

    Args:
        study: what is searched; its kind is the parent's level.
        state_id: tags the runs, so that the next start finds them.
        say: hears of a store that failed.
    """

    def __init__(self, study: Study, state_id: str, say: Callable[[str], None]):
        self.seconds = 0.0
        config = study.config
        self.say, self.fingerprint = say, study.source.fingerprint
        self._rest_until = 0.0
        self.missed = 0
        """Times that the store did not take something."""
        began = time.perf_counter()
        self.experiment = Experiment(config.name, config.tracking)
        self._children: dict[str, str] = {}
        self._levels: dict[str, str] = {}
        """Of the runs among them that the store held when this start began."""
        self._live: dict[str, _Live] = {}
        self._tags = self.experiment.origin | {
            "search_id": state_id,
            "source": config.data.source,
            "source_fingerprint": self.fingerprint,
            "precision": config.train.precision,
        }
        stayed_out = study.nested and "test" in (study.source.official_splits or {})
        self._final_images = ALL_BUT_TEST if stayed_out else ALL
        images = len(study.source)
        self._data = provenance.whole(config.data.source, self.fingerprint, images)
        self.parent = self._parent(study)
        self.seconds += time.perf_counter() - began

    @property
    def id(self) -> str:
        """The parent's run id."""
        return self.parent.id

    def holds(self, path: str) -> str | None:
        """The run of a trial or refit that the store holds."""
        return self._children.get(path)

    def point(
        self,
        path: str,
        fold: int | None,
        epoch: int,
        values: Mapping[str, float],
        of: Callable[[], TrialRun],
    ) -> None:
        """Hear of an epoch of a trial under way.

        Args:
            path: of the trial.
            fold: None where it has one only.
            epoch: from 1.
            values: what it came to.
            of: gives the trial, asked for when its run is opened.
        """
        if self.holds(path):
            return
        live = self._live.setdefault(path, _Live(time.monotonic() + LIVE_SECONDS))
        live.remember(fold, epoch, values)
        self._grow(live, lambda: self._open(live, of()))

    def refit_point(self, job: Job, level: str, epoch: int, values: Mapping[str, float]) -> None:
        """Hear of an epoch of a refit under way, from 1."""
        live = self._live.setdefault(path_text(job.path), _Live())
        live.remember(None, epoch, values)
        self._grow(live, lambda: self._open_refit(live, job, level))

    def _grow(self, live: _Live, make: Callable[[], None]) -> None:
        """Send what waits, if it is time; the run is made first, if there is none."""
        if time.monotonic() < live.due:
            return

        def write() -> None:
            if not live.run_id:
                make()
            self._batches(live)

        self._send(write)
        live.due = time.monotonic() + LIVE_SECONDS

    def trial(self, trial: TrialRun) -> None:
        """Write a trial that has ended, unless the store holds it."""

        def write() -> None:
            self._children[trial.path] = self._write(trial)

        if not self.holds(trial.path):
            self._send(write)

    def refit(self, job: Job, outcome: Outcome, level: str, *, fresh: bool) -> str:
        """Write a refit with its curve, predictions and network; its run id, empty if that failed.

        A `fresh` one takes the place of that of an earlier winner, whose run is tagged.
        """
        path = path_text(job.path)

        def write() -> None:
            live = self._live.get(path) or _Live()
            if not live.run_id:
                self._open_refit(live, job, level)
            for epoch, values in enumerate(outcome.history, start=1):
                live.remember(None, epoch, values)
            self._batches(live)
            if earlier := self._children.pop(path, None):
                self.experiment.client.set_tag(earlier, SUPERSEDED, "true")
            complete(RunLog(self.experiment.client, live.run_id), outcome)
            self._children[path] = live.run_id
            self._live.pop(path, None)

        def call_it() -> None:
            self.experiment.client.set_tag(self._children[path], "level", level)
            self._levels[path] = level

        if fresh or not self.holds(path):
            self._send(write)
        elif self._levels.get(path, level) != level:  # a longer search has another knee
            self._send(call_it)
        return self.holds(path) or ""

    def card(self, final: Mapping[str, Any]) -> None:
        """Write what to expect of the final network to its run, unless that says so already."""

        def write() -> None:
            client, run_id = self.experiment.client, final["run_id"]
            if client.get_run(run_id).data.tags.get(CARD) == final["card"]:
                return
            values = {k: v for k, v in final.items() if k.startswith("expected_") and v is not None}
            run = RunLog(client, run_id)
            run.metrics(values, now=True)
            run.tag({key: text(value) for key, value in values.items()})
            run.tag({NOTE: final["card"], CARD: final["card"]})

        if final["card"] and final["run_id"]:
            self._rest_until = 0.0
            self._send(write)

    def end(
        self,
        status: str,
        metrics: Mapping[str, float],
        files: list[Path],
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Close the parent with what the search found."""

        def write() -> None:
            for live in self._live.values():
                if live.run_id:  # the next start makes another run of it
                    self.experiment.client.set_terminated(live.run_id, "KILLED")
            self._live = {}
            self.parent.metrics(metrics)
            self.parent.tag(tags or {})
            for path in files:
                self.parent.file(path, "plots" if path.suffix in (".png", ".html") else None)
            self.parent.end(status)

        self._rest_until = 0.0
        self._send(write)

    def _send(self, write: Callable[[], None]) -> None:
        """Time it; a store that fails costs a line and a rest, not the search."""
        began, done = time.perf_counter(), False
        if time.monotonic() >= self._rest_until:
            # After a failure a look comes first: a call waits for retries, seconds of them.
            if not self.missed or answers(self.experiment.uri):
                with forgiving(self.say):
                    write()
                    done = True
            if not done:
                self._rest_until = time.monotonic() + REST_SECONDS
        self.missed += not done
        self.seconds += time.perf_counter() - began

    def _parent(self, study: Study) -> RunLog:
        client, config, kind = self.experiment.client, study.config, study.kind
        earlier = None
        for info, tags in self._known():
            if tags["level"] == kind:
                earlier = info.run_id
            elif SUPERSEDED in tags:
                continue
            elif info.status == "FINISHED" or (info.status, tags["level"]) == ("FAILED", "trial"):
                self._children[tags["path"]] = info.run_id
                self._levels[tags["path"]] = tags["level"]
            elif info.status in ("RUNNING", "KILLED"):
                client.delete_run(info.run_id)  # a kill came between its first and last call
        if earlier:
            client.update_run(earlier, status="RUNNING")
            return RunLog(client, earlier)
        params = params_of(config)
        params |= settings.flatten(study.section.model_dump(mode="json"), "search.")
        params |= settings.flatten(config.validation.model_dump(mode="json"), "validation.")
        tags = self._tags | {"level": kind, "path": kind, "config_hash": config_hash(config)}
        run = RunLog.start(client, self.experiment.id, f"{kind} {config.name}", tags, params)
        run.dataset(self._data)
        run.document("config.yaml", to_yaml(config))
        run.document(DATA, json.dumps(document(study.source, study.parts), indent=1))
        run.document("versions.json", json.dumps(self.experiment.versions, indent=1))
        return run

    def _known(self) -> Iterator[tuple[Any, dict[str, str]]]:
        token = None
        while True:
            page = self.experiment.client.search_runs(
                [self.experiment.id],
                f"tags.search_id = '{self._tags['search_id']}'",
                max_results=ALL_OF_THEM,
                page_token=token,
            )
            yield from ((run.info, run.data.tags) for run in page)
            token = page.token
            if not token:
                return

    def _write(self, trial: TrialRun) -> str:
        from mlflow.entities import Metric

        client, live = self.experiment.client, self._live.get(trial.path)
        if live is None or not live.run_id:
            live = _Live()
            self._open(live, trial)
        else:
            for key, value in trial_run.ending(trial).items():
                client.set_tag(live.run_id, key, value)
        now = int(time.time() * 1000)
        curves = (x for x in trial_run.lone_curve(trial) if (x[0], x[2]) not in live.known)
        live.metrics += [
            Metric(key, value, now, step)
            for key, value, step in itertools.chain(trial_run.metrics(trial), curves)
        ]
        self._batches(live)
        client.set_terminated(live.run_id, "FAILED" if trial.status == "failed" else "FINISHED")
        self._live.pop(trial.path, None)
        return live.run_id

    def _open(self, live: _Live, trial: TrialRun) -> None:
        from mlflow.entities import Param

        tags = self._tags | {
            "level": "trial",
            "path": trial.path,
            "config_hash": config_hash(trial.config),
            "group_hash": group_hash(trial.config),
            "mlflow.parentRunId": self.parent.id,
            **trial_run.ending(trial),
        }
        title = run_title(trial.config.model.name, trial.config.seed, trial.chosen)
        created = self.experiment.client.create_run(
            self.experiment.id,
            start_time=int(trial.began * 1000),
            run_name=f"{trial_run.outer_words(trial.path)}trial {trial.number} {title}",
            tags={key: str(value) for key, value in tags.items()},
        )
        live.run_id = str(created.info.run_id)
        live.params = [Param(k, text(v)) for k, v in params_of(trial.config).items()]

    def _open_refit(self, live: _Live, job: Job, level: str) -> None:
        """May be called again after it failed half-way."""
        look = live.opening is not None
        if live.opening is None:
            opening = self.experiment.opening(job, self.fingerprint, level, self.parent.id)
            search = {"search_id": self._tags["search_id"]}
            if level == FINAL:
                search[TRAINED_ON] = self._final_images
            named = f"{trial_run.outer_words(opening.tags['path'])}{opening.name}"
            live.opening = replace(opening, name=named, tags=opening.tags | search)
        run = open_run(self.experiment.client, self.experiment.id, live.opening, look=look)
        live.run_id = run.id

    def _batches(self, live: _Live) -> None:
        """Send what waits, params and metrics together."""
        while live.metrics or live.params:
            metrics, params = live.metrics[:METRIC_BATCH], live.params[:PARAM_BATCH]
            self.experiment.client.log_batch(live.run_id, metrics, params, [])
            del live.metrics[: len(metrics)], live.params[: len(params)]
