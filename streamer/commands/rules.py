"""`streamer rules test`: shows what moderation rules would do with a file, using the same pipeline as the service."""

from __future__ import annotations

import asyncio
import tomllib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from streamer.events import CommitOutcome, Message, TopicPartition
from streamer.files.errors import FileError
from streamer.files.options import TableOptions
from streamer.files.source import nothing_labelled, open_source, overrides_for_rows
from streamer.files.tables import TableReader
from streamer.formats.result import Result, read_result, text_of
from streamer.observe.progress_bar import progress_bar
from streamer.printable import printable, reason_of, shown_path, spaced
from streamer.service.offline import label_all
from streamer.settings import ModerationSettings, SettingsError, load

_COLOURS = {"allow": "green", "review": "yellow", "block": "red"}


async def dry_run_rules(
    path: str, *, options: TableOptions, text_column: str, rules: Path | None, examples: int, as_json: bool
) -> None:
    """Label a file's rows and print what the rules do with each.

    rules: a TOML file of rules; by default those of the settings. examples: how many to show for each rule. Raises
    FileError, also if there are rows but none could be labelled, SettingsError and ModelError.
    """
    changes: dict[str, Any] = {"output": {"include_input": True}} if examples else {}
    changes |= {"moderation": _moderation_section(rules)} if rules is not None else {}
    settings = load(overrides_for_rows(text_column) | changes)
    if not settings.moderation.rules:
        raise SettingsError("moderation.rules: there are none: give --rules FILE.toml")
    table = TableReader(path, options, required=(text_column,))
    async with open_source(table) as source:
        with progress_bar("rows", None) as advance:
            dry_run = RuleDryRun(text_column, examples, advance)
            if source is not None:
                await label_all(settings, source, source.partition, dry_run)
    if as_json:
        print(orjson.dumps(dry_run.as_json(settings.moderation), option=orjson.OPT_INDENT_2).decode())
    else:
        Console().print(dry_run.report(settings.moderation))
    if not dry_run.rules and (dry_run.dead_letters or table.bad_rows.counts):
        raise nothing_labelled(path, dry_run.dead_letters, table.bad_rows)


def _moderation_section(path: Path) -> dict[str, Any]:
    """The moderation section of a TOML file, which may have other sections."""
    try:
        section = tomllib.loads(path.read_text(encoding="utf-8")).get("moderation")
    except OSError as error:
        raise FileError(f"{shown_path(path)}: {reason_of(error)}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileError(f"{shown_path(path)}: not TOML: {printable(str(error), 200)}") from None
    if not isinstance(section, dict) or not section.get("rules"):
        raise FileError(f"{shown_path(path)}: has no [[moderation.rules]]")
    # The default of the service's settings does not belong to the tested rules.
    return {"default": "allow"} | section


class Example(NamedTuple):
    """A review that a rule matched; `row` counts from 0."""

    row: int
    label: str
    score: float
    text: str


class RuleDryRun:
    """Counts the rules' decisions on all rows. Implements `ports.Delivery`."""

    def __init__(self, text_field: str, examples: int, on_counted: Callable[[int], Any]) -> None:
        """examples: how many to keep for each rule. `on_counted` is called with the number of rows that were added."""
        self._text_field = text_field
        self._max_examples = examples
        self._on_counted = on_counted
        self.rules: Counter[str | None] = Counter()  # None: no rule matched.
        self.actions: Counter[str] = Counter()
        self.dead_letters: Counter[str] = Counter()
        self.examples: dict[str | None, list[Example]] = {}

    async def assigned(self, _: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Empty: reading starts at the first row."""
        return {}

    async def revoked(self, _: Sequence[TopicPartition]) -> None:
        """Does nothing: counts stay."""

    async def send(self, _: TopicPartition, __: int, messages: Sequence[Message]) -> Awaitable[None]:
        """Count these results before returning."""
        for message in messages:
            headers = dict(message.headers)
            if (reason := headers.get("dlq.reason")) is not None:
                self.dead_letters[reason.decode()] += 1
            elif (result := read_result(message.value)) is not None:
                self._add(result)
        self._on_counted(len(messages))
        counted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        counted.set_result(None)
        return counted

    async def commit(self, _: Mapping[TopicPartition, int]) -> CommitOutcome:
        """Does nothing: a file has no offsets to commit."""
        return CommitOutcome.DONE

    def _add(self, result: Result) -> None:
        self.rules[result.rule] += 1
        self.actions[str(result.action)] += 1
        kept = self.examples.setdefault(result.rule, [])
        if len(kept) < self._max_examples:
            text = text_of(result.input, self._text_field) or ""
            kept.append(Example(result.source["offset"], result.label, result.score, text))

    def as_json(self, moderation: ModerationSettings) -> dict[str, Any]:
        """The counts, for scripts."""

        def entry(rule: str | None, action: str) -> dict[str, Any]:
            examples = [example._asdict() for example in self.examples.get(rule, ())]
            with_examples = {"examples": examples} if self._max_examples else {}
            return {"action": action, "reviews": self.rules[rule]} | with_examples

        return {
            "reviews": self.rules.total(),
            "unreadable": dict(self.dead_letters),
            "actions": {action: self.actions[action] for action in _COLOURS},
            "rules": [{"name": rule.name} | entry(rule.name, rule.action) for rule in moderation.rules],
            "default": entry(None, moderation.default),
            "never_matched": self.never_matched(moderation),
        }

    def never_matched(self, moderation: ModerationSettings) -> list[str]:
        """The rules that matched no row."""
        return [rule.name for rule in moderation.rules if not self.rules[rule.name]]

    def report(self, moderation: ModerationSettings) -> Group:
        """The counts, for people. Texts are escaped, and control characters are removed."""
        decisions = [*((rule.name, rule.action) for rule in moderation.rules), (None, moderation.default)]
        return Group(self._table(decisions), *self._totals(moderation), *self._example_lines(decisions))

    def _table(self, decisions: Sequence[tuple[str | None, str]]) -> Table:
        total = max(1, self.rules.total())
        table = Table("rule", "action", box=None)
        table.add_column("reviews", justify="right")
        table.add_column("share", justify="right")
        for name, action in decisions:
            shown = Text("none of them" if name is None else name, "dim" if name is None else "")
            count = self.rules[name]
            table.add_row(shown, Text(action, _COLOURS[action]), str(count), f"{count / total:.1%}")
        return table

    def _totals(self, moderation: ModerationSettings) -> Iterator[Text]:
        counts = ", ".join(f"{self.actions[action]} {action}" for action in _COLOURS)
        yield Text(f"\n{self.rules.total()} reviews: {counts}")
        if self.dead_letters:
            reasons = ", ".join(f"{count} {reason}" for reason, count in self.dead_letters.most_common())
            yield Text(f"not labelled: {reasons}")
        if names := self.never_matched(moderation):
            yield Text(f"never matched: {', '.join(names)}", "bold")

    def _example_lines(self, decisions: Sequence[tuple[str | None, str]]) -> Iterator[Text]:
        for name, action in decisions:
            if examples := self.examples.get(name):
                yield Text.assemble(f"\n{name or 'none of them'}: ", (action, _COLOURS[action]))
                yield from map(_example_line, examples)


def _example_line(example: Example) -> Text:
    text = " ".join(spaced(example.text).split())
    return Text(f"  {example.label:<9} {example.score:.3f}  {text}", no_wrap=True, overflow="ellipsis")
