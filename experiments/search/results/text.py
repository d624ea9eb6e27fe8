"""What a search found, or would do, as people read it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from experiments.config import yaml_text
from experiments.config.settings import changed_yaml
from experiments.jobs.baseline import in_words as to_beat
from experiments.jobs.baseline import remark
from experiments.presentation.formatting import in_percent, in_words, score, si
from experiments.search.results import final, front, leads
from experiments.search.results.intervals import of_best_in_words, of_outer_in_words, tested_by
from experiments.search.results.report import top

SHOWN = 10  # trials


def of_result(document: Mapping[str, Any]) -> str:
    """The best trials, or the outer folds, as people read them."""
    lines = list(_outer_lines(document) if "outer" in document else _search_lines(document))
    lines += _final_lines(document)
    fits, stopped = document["fits"], document["budget"]["stopped_by"]
    for key in ("racing", "race"):
        if race := document.get(key):
            lines.append(f"{key}: {race['gave_up']} gave up, {race['folds_saved']} fits saved")
    lines += _refused(document)
    if stopped in ("seconds", "images"):
        lines.append(f"the budget of {stopped} ended the search; incomplete trials do not count")
    lines.append(
        f"{fits['done']} fits, {fits['failed']} failed, {document['seconds']:.0f} s "
        f"({document['tracking_seconds']:.1f} s of them tracking); tables in {document['state']}"
    )
    return "\n".join(lines)


def of_dry_run(document: Mapping[str, Any], every_key: bool = False) -> str:
    """What `--dry-run` says; of the config the keys that differ from the defaults, or all."""
    config = {k: v for k, v in document["config"].items() if k != "sweep" or v}
    lines = [yaml_text.write(config) if every_key else changed_yaml(config), document["text"]]
    for number, settings in enumerate(document["candidates"][: 2 * SHOWN]):
        lines.append(f"trial {number}: {_shown(settings)}")
    if len(document["candidates"]) > 2 * SHOWN:
        lines.append(f"and {len(document['candidates']) - 2 * SHOWN} more")
    lines.append("nothing was trained (--dry-run)")
    return "\n".join(lines)


def _search_lines(document: Mapping[str, Any]) -> Iterable[str]:
    name, brackets = document["score_name"], document.get("brackets")

    def row(number: Any, shown: str, std: str, epochs: Any, words: str) -> str:
        length = f"  {epochs:>6}" if brackets else ""
        return f"{number:>5}{length}  {shown:>9}  {std:>7}  {words}"

    several = "objectives" in document
    if several:
        yield from front.lines(document)
    else:
        yield row("trial", name, "std", "epochs", "settings")
    best = [] if several else top(dict(document), SHOWN)
    for trial in best:
        std = "" if trial["std"] is None else score(name, trial["std"])
        settings = _shown(trial["hyperparameters"])
        yield row(trial["number"], score(name, trial["score"]), std, trial.get("budget"), settings)
    for trial in document["trials"]:
        if trial["status"] == "failed":
            yield row(trial["number"], "failed", "", trial.get("budget"), trial["error"])
    if brackets and best:
        yield (
            f"the best is one of those that were trained longest, for {best[0]['budget']} epochs; "
            f"promotions: {brackets['went_on']} of {brackets['promoted']} went on from a snapshot, "
            f"{brackets['epochs_trained']:,} epochs trained and {brackets['epochs_saved']:,} saved"
        )
    yield from of_best_in_words(document)
    if choice := document.get("choice"):
        yield from leads.of_search(choice, name)
    if line := to_beat(document):
        yield f"{line}{remark({**document, **(document['best'] or {})})}"
    refit = document["refit"]
    if refit and refit["status"] == "finished":
        scores = ", ".join(f"{k} {score(k, v)}" for k, v in refit.items() if k.startswith("test_"))
        chosen = "the chosen one" if leads.is_simpler(document.get("choice")) else "the best"
        yield f"{chosen}, trained on the whole learning set: {scores}{remark(refit)}"


def _refused(document: Mapping[str, Any]) -> Iterable[str]:
    """Candidates over `search.constraints`, with their cost."""
    refused = [trial for trial in document.get("trials", ()) if trial["status"] == "refused"]
    for trial in refused[:SHOWN]:
        outer = f"outer fold {trial['outer']}, " if "outer" in trial else ""
        cost = ", ".join(f"{name} {si(value)}" for name, value in trial["refused"].items())
        yield f"{outer}trial {trial['number']} refused: {cost}; {_shown(trial['hyperparameters'])}"
    if len(refused) > SHOWN:
        yield f"and {len(refused) - SHOWN} more refused, in trials.csv"


def _outer_lines(document: Mapping[str, Any]) -> Iterable[str]:
    test = tested_by(document)
    yield f"{'outer':>5}  {'inner':>7}  {test:>9}  winner"
    for row in document["outer"]:
        if test not in row or "inner_score" not in row:
            yield f"{row['fold']:>5}  {'failed':>7}  {'':>9}  {row['error'] or ''}"
            continue
        inner, outer = (score(test, row[key]) for key in ("inner_score", test))
        yield f"{row['fold']:>5}  {inner:>7}  {outer:>9}  {_shown(row['hyperparameters'])}"
    if document[f"mean_{test}"] is None:
        return
    mean, std = document[f"mean_{test}"], document[f"std_{test}"]
    yield (
        f"{test} {score(test, mean)}{'' if std is None else f' ± {score(test, std)}'} over "
        f"{len(document['outer'])} outer folds; {_optimism(document, test)}"
    )
    yield from of_outer_in_words(document)
    if line := to_beat(document):
        yield f"{line}{remark({**document, test: mean})}"
    if document["winners_differ"]:
        yield (
            "the winners differ: the estimate is of the whole procedure, search included, not of "
            "one setting"
        )
    else:
        yield "every outer fold chose the same settings"
    yield from leads.of_outer(document["outer"])
    if "objectives" in document:
        yield from front.lines(document)


def _final_lines(document: Mapping[str, Any]) -> Iterable[str]:
    """The network to use, and what its card says."""
    fitted = document.get("final")
    if fitted and fitted["card"]:
        settings = _shown(fitted["hyperparameters"])
        yield f"final: {final.in_words(fitted, 'outer' in document)}: {settings}"
        yield f"its card: {fitted['card']}"


def _optimism(document: Mapping[str, Any], test: str) -> str:
    """How far the search's own scores are from the tests of what it chose, and why."""
    by = document["optimism"]
    points = in_percent(test)
    apart = f"{100 * by:+.2f} points" if points else f"{by:+.4f}"
    why = (
        "better than their tests, as the best of many look"
        if by > 0
        else "worse than their tests, since a winner is trained on more images before its test"
        if by < 0
        else "equal to their tests"
    )
    inner = score(test, document["best_inner_score"])
    return f"inner scores of the winners {inner}, {why} (optimism {apart})"


def _shown(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={in_words(value)}" for key, value in settings.items())
