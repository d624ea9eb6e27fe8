"""The commands of the documents: every line of their shell blocks, the examples of every --help.

`commands` collects them. `checked` takes one to its last word without opening data: options by the
parser of the command line, settings by that of configs.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import typer.main

import models
from experiments.cli import app
from experiments.cli.evaluate import CHANGE
from experiments.cli.examples import EXAMPLES
from experiments.config import settings
from experiments.config.schema import Config

ROOT = Path(__file__).parents[2]
SHELLS = ("console", "sh", "bash", "shell")
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
INLINE = re.compile(r"`((?:[A-Z_]+=\S+ )?(?:\.venv/bin/)?(?:ilsvrc|make|pip|python) [^`]+)`")
TRAINING = ("train", "sweep", "ensemble", "search", "nested")


class Line(NamedTuple):
    """One command of a document, as it is typed."""

    document: str
    text: str

    @property
    def words(self) -> list[str]:
        """Its words, without the shell's doings before and behind it."""
        words = shlex.split(self.text, comments=True)
        while words and (words[0] == "exec" or re.fullmatch(r"[A-Z_]+=.*", words[0])):
            words = words[1:]
        words = words[:-1] if words[-1:] == ["&"] else words
        return [words[0].removeprefix(".venv/bin/"), *words[1:]] if words else []


def pages() -> list[Path]:
    """Every Markdown file of the repository."""
    files = sorted(ROOT.rglob("*.md"))
    return [file for file in files if not any(x[0] == "." for x in file.relative_to(ROOT).parts)]


def commands() -> list[Line]:
    """All of them, in the order in which they stand."""
    lines = []
    for page in pages():
        document = page.relative_to(ROOT).as_posix()
        for language, block in FENCED.findall(page.read_text(encoding="utf-8")):
            lines += [Line(document, text) for text in _of_block(language, block)]
    for config in sorted((ROOT / "experiments" / "configs").rglob("*.yaml")):
        document = config.relative_to(ROOT).as_posix()
        found = re.findall(r"^# +(ilsvrc .*)$", config.read_text(encoding="utf-8"), re.M)
        lines += [Line(document, text) for text in found]
    for command, block in EXAMPLES.items():
        document = f"ilsvrc {command}".strip() + " --help"
        lines += [Line(document, text) for text in _of_block("sh", block)]
    return [line for line in lines if line.words]


def _of_block(language: str, block: str) -> Iterator[str]:
    block = re.sub(r"\\\n\s*", "", block)
    if language == "console":
        yield from re.findall(r"^\$ (.*)$", block, re.M)
    elif language in SHELLS:
        yield from (text.strip() for text in block.splitlines())
    elif language == "yaml":  # of a cluster's job
        for script in re.findall(r'sh -c "(.*?)"', block):
            yield from script.split(" && ")


def mentions() -> list[Line]:
    """Commands in running text, with words in capitals, brackets and dots for what varies."""
    found = []
    for page in pages():
        prose = FENCED.sub("", page.read_text(encoding="utf-8"))
        document = page.relative_to(ROOT).as_posix()
        found += [Line(document, text) for text in INLINE.findall(prose)]
    return found


def configs() -> list[tuple[str, str]]:
    """The YAML blocks that are a config."""
    found = []
    for page in pages():
        for language, block in FENCED.findall(page.read_text(encoding="utf-8")):
            if language == "yaml" and re.search(r"^train:", block, re.M):
                found.append((page.relative_to(ROOT).as_posix(), block))
    return found


def command_of(words: list[str]) -> tuple[str, Any, list[str]]:
    """The command that the words behind `ilsvrc` name, and the words that are left for it."""
    command, path = typer.main.get_command(app), []
    while names := getattr(command, "commands", {}):
        if not words or words[0] not in names:
            break
        command, path, words = names[words[0]], [*path, words[0]], words[1:]
    return " ".join(path), command, words


def checked(words: list[str]) -> str:
    """The name of the command; fails for an option, a key or a value that there is not.

    `words` follow `ilsvrc`; the config that they name is a file in this folder, or shipped.
    """
    name, command, rest = command_of(words)
    assert name or rest[:1] == ["--help"], f"no such command: {' '.join(words)}"
    with command.make_context(f"ilsvrc {name}", list(rest)) as context:
        given = context.params
    arguments = [p.name for p in command.params if p.param_type_name == "argument"]
    if name in TRAINING:
        config = settings.load(given["config"], given["changes"] or ())
        _check_axes(config, str(given["config"]))
        if name in ("search", "nested"):
            from experiments.search import run

            run.check(name, config, str(given["config"]))
    else:
        words = [word for argument in arguments for word in _words(given[argument])]
        changes = [word for word in words if CHANGE.match(word)]
        config = settings.parse(settings.override({"name": "documents"}, changes), where=name)
        published = [
            word.partition(":")[0]
            for word in words
            if word.endswith(":imagenet") and "=" not in word
        ]
        assert {*config.bench.names, *published} <= set(models.list_models()), words
        for key in given.get("best_of") or ():
            assert known_key(key), key
    return name


def _words(value: Any) -> list[str]:
    return [str(word) for word in value] if isinstance(value, list) else [str(value)]


def _check_axes(config: Config, where: str) -> None:
    for key, values in config.sweep.axes.items():
        for value in values:
            raw = config.model_dump(mode="json")
            settings.set_key(raw, key, value)
            settings.parse(raw, where=f"{where}: sweep.{key}")


def known_key(key: str) -> bool:
    """Is there such a setting? `*` and DIR stand for what varies."""
    from experiments.config.meant import keys_of

    return any(known == key or known.startswith(f"{key}.") for known in keys_of(Config))


def checked_mention(text: str) -> str:
    """The name of the command in running text; its options and keys must be there."""
    words = text.replace("\\|", "|").partition("ilsvrc ")[2].split()
    words = [word.strip("[]").split("|")[0] for word in words]
    if words[0] == "COMMAND":
        return ""
    name, command, rest = command_of(words)
    assert name or words[0] == "--help", f"no such command: {text}"
    options = {option for param in command.params for option in param.opts} | {"--help"}
    for word in rest:
        if word.startswith("--"):
            assert word in options, f"{word}: no such option of ilsvrc {name}"
        elif CHANGE.match(word) and not word.startswith("key.path="):
            assert known_key(word.partition("=")[0]), f"{word}: no such setting"
    return name
