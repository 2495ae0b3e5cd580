"""`streamer rules test`: what moderation rules would have done to a file, by the pipeline that does it live."""

from __future__ import annotations

import asyncio
import tomllib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from streamer.commands.label import for_files, label_rows, rows
from streamer.commands.watch import printable
from streamer.events import CommitOutcome, Message, TopicPartition
from streamer.files.source import FileError
from streamer.formats.result import Result, read_result, text_of
from streamer.observe.progress_bar import progress_bar
from streamer.settings import ModerationSettings, SettingsError, load

_COLOURS = {"allow": "green", "review": "yellow", "block": "red"}


async def try_rules(
    path: str, kind: str | None, text_column: str, rules: Path | None, show: int, as_json: bool
) -> None:
    """Label a file's rows and print what the rules, those of the settings unless a file has others, do with each.

    show: examples of each rule. Raises FileError, SettingsError and ModelError.
    """
    changed: dict[str, Any] = {"output": {"include_input": True}} if show else {}
    changed |= {"moderation": _moderation(rules)} if rules is not None else {}
    settings = load(for_files(text_column) | changed)
    if not settings.moderation.rules:
        raise SettingsError("moderation.rules: there are none: give --rules FILE.toml")
    async with rows(path, kind, text_column) as source:
        with progress_bar("rows", None) as advance:
            dry_run = RuleDryRun(text_column, show, advance)
            if source is not None:
                await label_rows(settings, source, dry_run)
    if as_json:
        print(orjson.dumps(dry_run.as_json(settings.moderation), option=orjson.OPT_INDENT_2).decode())
    else:
        Console().print(dry_run.table(settings.moderation))


def _moderation(path: Path) -> dict[str, Any]:
    """The section of a TOML file, which may be one of all settings."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8")).get("moderation")
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: not TOML: {error}") from None
    if not isinstance(found, dict) or not found.get("rules"):
        raise FileError(f"{path}: no [[moderation.rules]] in it")
    # The live default is no part of what is tried.
    return {"default": "allow"} | found


class Example(NamedTuple):
    """A review that a rule matched; `row` counts from 0."""

    row: int
    label: str
    score: float
    text: str


class RuleDryRun:
    """Counts what is decided on each row. Implements `ports.Delivery`."""

    def __init__(self, text_field: str, show: int, advance: Callable[[int], Any]) -> None:
        """`show`: how many examples to keep of each rule. `counted` is told how many rows were added."""
        self._text_field = text_field
        self._show = show
        self._counted = advance
        self.rules: Counter[str | None] = Counter()  # None: no rule matched.
        self.actions: Counter[str] = Counter()
        self.unreadable: Counter[str] = Counter()
        self.examples: dict[str | None, list[Example]] = {}

    async def assigned(self, _: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Rows come from the first on."""
        return {}

    async def revoked(self, _: Sequence[TopicPartition]) -> None:
        """What is counted stays."""

    async def send(self, _: TopicPartition, __: int, messages: Sequence[Message]) -> Awaitable[None]:
        """Count these results; done when it returns."""
        for message in messages:
            headers = dict(message.headers)
            if (reason := headers.get("dlq.reason")) is not None:
                self.unreadable[reason.decode()] += 1
            elif (result := read_result(message.value)) is not None:
                self._add(result)
        self._counted(len(messages))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def commit(self, _: Mapping[TopicPartition, int]) -> CommitOutcome:
        """A file has no offsets to keep."""
        return CommitOutcome.DONE

    def _add(self, result: Result) -> None:
        self.rules[result.rule] += 1
        self.actions[str(result.action)] += 1
        kept = self.examples.setdefault(result.rule, [])
        if len(kept) < self._show:
            text = text_of(result.input, self._text_field) or ""
            kept.append(Example(result.source["offset"], result.label, result.score, text))

    def as_json(self, moderation: ModerationSettings) -> dict[str, Any]:
        """What was counted, for scripts."""

        def of(rule: str | None, action: str) -> dict[str, Any]:
            examples = [example._asdict() for example in self.examples.get(rule, ())]
            return {"action": action, "reviews": self.rules[rule]} | ({"examples": examples} if self._show else {})

        return {
            "reviews": self.rules.total(),
            "unreadable": dict(self.unreadable),
            "actions": {action: self.actions[action] for action in _COLOURS},
            "rules": [{"name": rule.name} | of(rule.name, rule.action) for rule in moderation.rules],
            "default": of(None, moderation.default),
            "never_matched": self.never_matched(moderation),
        }

    def never_matched(self, moderation: ModerationSettings) -> list[str]:
        """The rules that decided on nothing."""
        return [rule.name for rule in moderation.rules if not self.rules[rule.name]]

    def table(self, moderation: ModerationSettings) -> Group:
        """What was counted, for people. Texts are escaped, and control characters do not reach the terminal."""
        total = max(1, self.rules.total())
        decisions = [(rule.name, rule.action) for rule in moderation.rules]
        table = Table("rule", "action", box=None)
        table.add_column("reviews", justify="right")
        table.add_column("share", justify="right")
        for name, action in (*decisions, (None, moderation.default)):
            shown = Text("none of them" if name is None else name, "dim" if name is None else "")
            count = self.rules[name]
            table.add_row(shown, Text(action, _COLOURS[action]), str(count), f"{count / total:.1%}")
        counts = ", ".join(f"{self.actions[action]} {action}" for action in _COLOURS)
        lines = [Text(f"\n{self.rules.total()} reviews: {counts}")]
        if self.unreadable:
            reasons = ", ".join(f"{count} {reason}" for reason, count in self.unreadable.most_common())
            lines.append(Text(f"not labelled: {reasons}"))
        if never := self.never_matched(moderation):
            lines.append(Text(f"never matched: {', '.join(never)}", "bold"))
        for name, action in (*decisions, (None, moderation.default)):
            if examples := self.examples.get(name):
                lines.append(Text.assemble(f"\n{name or 'none of them'}: ", (action, _COLOURS[action])))
                lines += [_line(example) for example in examples]
        return Group(table, *lines)


def _line(example: Example) -> Text:
    text = " ".join(printable(example.text).split())
    shown = f"  {example.label:<9} {example.score:.3f}  {text}"
    return Text(shown, no_wrap=True, overflow="ellipsis")
