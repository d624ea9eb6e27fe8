"""Where a search stands, on disk: a journal that is the only state, found again by its hash.

`.ilsvrc/NAME/search-HASH/` (`nested-HASH`) holds `journal.jsonl`, the folders of the fits, and at
the end `folds.csv`, `trials.csv` and `result.json`. HASH covers what changes a result: the config,
the space, the data. What only says how far to go (trials, budget, max_failures, refit, final), what
is chosen in the end (choose) or where it runs is left out, so that a search can be taken further.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments.config import settings
from experiments.config.identity import IRRELEVANT, null_seeds
from experiments.config.schema import TEST_FRACTION, Config
from experiments.errors import BadInput
from experiments.jobs.job import ROOT, FitPath, Outcome
from experiments.tracking.journal import Journal

HOW_FAR = {"trials", "budget", "max_failures", "refit", "final", "choose"}
PROTOCOL = {"search": {"folds", "repeats"}, "nested": {"outer", "inner", "repeats"}}
SHOWN = 5  # changed keys in an error
ORACLES = 2  # 1, and not written: all but grid and manual are KerasTuner's


class State:
    """The journal of one search, read once and appended to.

    `ended` has the last record of each fit by its path; `proposals` the settings of each trial by
    (outer, trial); `elapsed` the seconds that earlier starts took, up to their last fit.
    """

    def __init__(self, directory: Path):
        self.directory = directory
        self.journal = Journal(directory).open()
        self.started: dict[str, Any] | None = None
        self.ended: dict[FitPath, dict[str, Any]] = {}
        self.proposals: dict[tuple[int, int], dict[str, Any]] = {}
        self.elapsed = 0.0
        with self.journal.understood():
            for event in self.journal.events():
                self._take(event)

    def _take(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "started" and self.started is None:
            self.started = event
        elif kind == "proposed":
            self.proposals |= {(t["outer"], t["trial"]): t for t in event["trials"]}
        elif kind == "ended":
            self.ended[tuple(event["path"])] = event
            self.elapsed = event["elapsed"]

    @property
    def id(self) -> str:
        """Tags the tracked runs of this search."""
        assert self.started
        return str(self.started["id"])

    @property
    def versions(self) -> dict[str, str]:
        """Of the packages when the search began."""
        assert self.started
        return dict(self.started["versions"])

    @property
    def former(self) -> bool:
        """Did it begin with the oracles of before? It goes on with them."""
        assert self.started
        return int(self.started.get("oracles", 1)) < ORACLES

    def begin(self, matters: Mapping[str, Any], versions: Mapping[str, str]) -> None:
        """Record what the search is, the first time."""
        if self.started is None:
            self.journal.append(
                "started",
                id=uuid.uuid4().hex,
                matters=dict(matters),
                versions=dict(versions),
                oracles=ORACLES,
            )
            self.started = self.journal.last("started")

    def propose(self, trials: list[dict[str, Any]]) -> None:
        """Record what an oracle proposed, or compare it with what it proposed before.

        Raises:
            BadInput: it proposes something else now.
        """
        fresh = []
        for trial in json.loads(json.dumps(trials)):
            known = self.proposals.get((trial["outer"], trial["trial"]))
            if known is None:
                fresh.append(trial)
                self.proposals[trial["outer"], trial["trial"]] = trial
            elif known != trial:
                versions = ", ".join(f"{k} {v}" for k, v in self.versions.items() if "keras" in k)
                raise BadInput(
                    f"{self.directory}: trial {trial['trial']} was {known['settings']} and would "
                    f"now be {trial['settings']}; the search began with {versions}: install these "
                    "again, or start apart with --fresh"
                )
        if fresh:
            self.journal.append("proposed", trials=fresh)

    def end(self, path: FitPath, outcome: Outcome, **fields: Any) -> dict[str, Any]:
        """Record how a fit ended, synced to the disk."""
        self.journal.append("ended", path=path, outcome=asdict(outcome), **fields)
        self.ended[path] = {"path": path, "outcome": asdict(outcome), **fields}
        self.elapsed = fields["elapsed"]
        return self.ended[path]


def what_matters(config: Config, kind: str, fingerprint: str) -> dict[str, Any]:
    """Flat keys of everything that changes a result of a search of this kind."""
    left_out = {**IRRELEVANT, **null_seeds(config), "bench": True, "name": True}
    document = config.model_dump(mode="json", exclude=left_out)
    assert config.search
    document["search"] = config.search.model_dump(mode="json", exclude=HOW_FAR)
    if config.search.race is None:  # which there was not when older searches began
        document["search"].pop("race", None)
    if not config.search.declaration.learns:
        del document["search"]["parallel"]
    if not config.search.paired:  # as every search was before there was a choice
        del document["search"]["paired"]
    document["validation"] |= config.validation.model_dump(mode="json", include=PROTOCOL[kind])
    if config.validation.test_fraction is None:  # which it was before it could be left open
        document["validation"]["test_fraction"] = TEST_FRACTION
    document["data"]["fingerprint"] = fingerprint
    return settings.flatten(document)


def matters_of(config: Config, kind: str, source: Any) -> dict[str, Any]:
    """`what_matters` of a search on a source, which goes on as what it was called when it began."""
    for event in _begun(config.name, kind).values():
        then = event["matters"].get("data.fingerprint")
        if then != source.fingerprint and source.is_known_as(then):
            source.go_on_as(then)
            break
    return what_matters(config, kind, source.fingerprint)


def as_begun(kind: str, source: Any, now: Config, former: Config) -> Config:
    """The config that a search goes on with: as it is read today, or as the former version read it
    that began the newest search of its name."""
    begun = _begun(now.name, kind)
    if not begun:
        return now
    folder = f"{kind}-{digest(matters_of(now, kind, source))}"
    if any(path.name.startswith(folder) for path in begun):
        return now
    newest = max(begun, key=lambda path: begun[path]["time"])
    return now if "search.paired" in begun[newest]["matters"] else former


def find(name: str, kind: str, matters: Mapping[str, Any], *, fresh: bool) -> Path:
    """The folder of this search, whether it is there or not.

    Args:
        name: the experiment.
        kind: search or nested.
        matters: from `what_matters`.
        fresh: a folder of its own, whatever is there.

    Raises:
        BadInput: the name has a search with other settings, and not this one.
    """
    folder = f"{kind}-{digest(matters)}"
    begun = _begun(name, kind)
    endings = [path.name.removeprefix(folder) for path in begun if path.name.startswith(folder)]
    numbers = [int(ending[1:] or 1) for ending in endings]
    root = ROOT / name
    if fresh:
        return root / (f"{folder}-{max(numbers) + 1}" if numbers else folder)
    if numbers:
        return root / (folder if max(numbers) == 1 else f"{folder}-{max(numbers)}")
    if begun:
        newest = max(begun, key=lambda path: begun[path]["time"])
        raise BadInput(
            f"{name}: a {kind} with other settings is under way in {newest}: "
            f"{changes(begun[newest]['matters'], matters)}; set back what changed, take another "
            "name, or start apart with --fresh"
        )
    return root / folder


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Which keys differ: key: old -> new."""
    after = json.loads(json.dumps(after))
    keys = sorted(k for k in before.keys() | after.keys() if _at(before, k) != _at(after, k))
    shown = [f"{key}: {_at(before, key)} -> {_at(after, key)}" for key in keys[:SHOWN]]
    more = len(keys) - SHOWN
    return "; ".join(shown) + (f"; and {more} more" if more > 0 else "")


def digest(matters: Mapping[str, Any]) -> str:
    """Twelve hex digits of what matters."""
    return hashlib.sha256(json.dumps(matters, sort_keys=True).encode()).hexdigest()[:12]


def _begun(name: str, kind: str) -> dict[Path, dict[str, Any]]:
    """Folders of searches of this kind, with the event that began each."""
    begun = {}
    for path in sorted((ROOT / name).glob(f"{kind}-*")):
        first = next((e for e in Journal(path).events() if e["event"] == "started"), None)
        if first:
            with Journal(path).understood():
                begun[path] = {key: first[key] for key in ("time", "matters")}
    return begun


def _at(flat: Mapping[str, Any], key: str) -> str:
    return json.dumps(flat[key]) if key in flat else "absent"
