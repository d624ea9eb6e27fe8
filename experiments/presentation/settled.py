"""Which rows of a sweep with `until` are settled, in words: after a round, in `status`, in tables.

A row says `name seeds settled_as settled_after against difference difference_interval seeds_more`,
where settled_as is best, beaten, equivalent, undecided, or None of a row without any score.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KINDS = ("beaten", "equivalent")


def in_words(document: Mapping[str, Any]) -> str:
    """Who is settled after a look, and who is not; a line."""
    rows = document["rows"]
    text = f"after {len(document['seeds'])} seeds: "
    if document["leader"] is None:
        return f"{text}no run has a score"
    text += f"{document['leader']} {'is best' if document['all'] else 'leads'}"
    for kind in KINDS:
        of_kind = [row for row in rows if row["settled_as"] == kind]
        if names := [f"{row['name']} (after {row['settled_after']})" for row in of_kind]:
            text += f"; {kind}: {', '.join(names)}"
    if names := [with_seeds_more(row) for row in undecided(document)]:
        text += f"; undecided: {', '.join(names)}"
    names = [row["name"] for row in rows if row["settled_as"] is None]
    return text + (f"; without a score: {', '.join(names)}" if names else "")


def undecided(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows that are held against the leader still."""
    rows = document["rows"]
    return [row for row in rows if row["settled_as"] == "undecided" and row["against"] is not None]


def with_seeds_more(row: Mapping[str, Any]) -> str:
    """A row that is not settled, and about how many seeds more will do."""
    more = row["seeds_more"]
    if more is None:
        return f"{row['name']} (no telling for how long)"
    return f"{row['name']} (about {more} seed{'s' * (more > 1)} more)"


def cell(row: Mapping[str, Any]) -> str:
    """best after 9, beaten after 7; empty of a row that no sweep with `until` had."""
    kind = row.get("settled_as")
    if kind is None:
        return ""
    return f"{kind} after {row['settled_after'] or len(row['seeds'])}"
