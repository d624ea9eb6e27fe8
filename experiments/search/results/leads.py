"""Is the lead of the highest mean more than noise, and what is chosen instead: in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.presentation.formatting import in_percent, si

RULES = {
    "one_standard_error": "the simplest within one standard error of",
    "cheapest": "the simplest that cannot be told from",
    "knee": "the knee of the front, not",
}


def of_search(choice: Mapping[str, Any], score_name: str) -> Iterator[str]:
    """Of the `choice` of a search's JSON."""
    lead, highest = choice["lead"], f"trial {choice['highest']}"
    if lead:
        by, p = lead["difference"], lead["p"]
        apart = f"{100 * by:.2f} points" if in_percent(score_name) else f"{by:.4f}"
        ahead = f"{highest} is {apart} ahead of trial {lead['over']} (p {p:.2g})"
        if lead["within_noise"]:
            count = len(lead["alike"])
            others = f"{count} other{'s' * (count > 1)}"
            yield f"{ahead}, which is within noise: {others} cannot be told from it"
        elif lead["within_noise"] is None:
            yield f"{ahead} on these images; how far training scatters, one fold does not tell"
        else:
            yield f"{ahead} and of all others by more than noise"
    if is_simpler(choice):
        costs = (choice[key].get("macs", 0) for key in ("cost", "cost_of_highest"))
        macs = " MACs against ".join(si(value) for value in costs)
        yield f"chosen is trial {choice['trial']}, {RULES[choice['rule']]} {highest} ({macs})"


def of_outer(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Of the rows of a nested search's JSON, one an outer fold."""
    choices = [row["choice"] for row in rows if row.get("choice")]
    within = sum(1 for choice in choices if choice["lead"] and choice["lead"]["within_noise"])
    if within:
        folds = f"{within} of {len(choices)} outer folds"
        yield f"in {folds} the lead of the highest score is within noise"
    simpler = [choice for choice in choices if is_simpler(choice) and choice["rule"] != "knee"]
    if simpler:
        rule = RULES[simpler[0]["rule"]]
        yield f"in {len(simpler)} of {len(choices)} the winner is not it, but {rule} it"


def is_simpler(choice: Mapping[str, Any] | None) -> bool:
    """Is another trial chosen than that of the highest mean?"""
    return choice is not None and choice["trial"] != choice["highest"]
