"""The pages of the repository: their tables are whole, their links lead somewhere, their commands exist."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from typer import Typer
from typer.main import get_command

from benchmarks.__main__ import PARTS
from benchmarks.record import Part
from streamer.cli import app as streamer
from tests.markdown import BrokenTableError, anchors, code_lines, links, tables
from training.cli import app as training

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "docker/*.md", "streamer/**/*.md")
    for path in ROOT.glob(pattern)
    if ".venv" not in path.parts
)
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

pages = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


@pages
def test_tables_are_whole(page: Path) -> None:
    """Every line that begins with a pipe belongs to a table with a header and as many cells in each row."""
    tables(page.read_text())


@pages
def test_links_lead_somewhere(page: Path) -> None:
    """Files and headings in the repository; other hosts by https."""
    for link in links(page.read_text()):
        url = urlsplit(link)
        if url.scheme:
            assert url.scheme == "https", link
            continue
        target = page.parent / url.path if url.path else page
        assert target.exists(), link
        if url.fragment:
            assert url.fragment in anchors(target.read_text()), link


def commands(page: Path) -> Iterator[tuple[str, list[str]]]:
    """The commands of ours in a page's code blocks: the program and its arguments, without comments."""
    for line in code_lines(page.read_text()):
        words = re.sub(r"^(\$ )?((STREAMER_\w+=\S* )*)(\.venv/bin/)?", "", line)
        for program in ("streamer", "python -m training", "python -m benchmarks", "make"):
            if words.startswith(f"{program} "):
                yield (
                    program,
                    shlex.split(words.removeprefix(program).replace("[", " ").replace("]", " "), comments=True),
                )


@pages
def test_commands_exist(page: Path) -> None:
    """With their subcommands and options."""
    for program, arguments in commands(page):
        if program == "make":
            assert {word for word in arguments if "=" not in word} <= TARGETS, arguments
        elif program == "python -m benchmarks":
            assert arguments[0] in PARTS, arguments
            parser = argparse.ArgumentParser()
            part: Part = import_module(f"benchmarks.{arguments[0]}")
            part.arguments(parser)
            parser.parse_args(arguments[1:])
        else:
            assert unknown({"streamer": streamer, "python -m training": training}[program], arguments) == [], arguments


def unknown(app: Typer, arguments: list[str]) -> list[str]:
    """What the command line does not know: the subcommand, or options of it."""
    command = get_command(app)
    names: list[str] = []
    words = iter(arguments)
    while children := getattr(command, "commands", None):
        name = next(words, "")
        if name not in children:
            return [name]
        command = children[name]
        names.append(name)
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    return [word for word in words if word.startswith("-") and word.split("=")[0] not in options]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [(["rnu"], ["rnu"]), (["run", "--workers", "2"], []), (["run", "--wrokers"], ["--wrokers"]), (["dlq"], [""])],
)
def test_unknown_commands_are_found(arguments: list[str], expected: list[str]) -> None:
    """Otherwise the test above would pass on anything."""
    assert unknown(streamer, arguments) == expected


@pytest.mark.parametrize(
    "text",
    [
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n| 3 | 4 |\n",
        "| a | b |\n|---|---|\n| 1 | 2 | 3 |\n",
        "| a | b |\n|---|---|\n| 1 |\n",
        "| a | b |\n|---|\n| 1 | 2 |\n",
        "| a | b |\n| 1 | 2 |\n| 3 | 4 |\n",
        "| a | b |\n|---|---|\n| 1 | 2\n",
    ],
    ids=["an empty line", "a cell more", "a cell less", "a dash less", "no dashes", "no end"],
)
def test_a_broken_table_is_found(text: str) -> None:
    """By what a renderer would show as text or drop."""
    with pytest.raises(BrokenTableError, match="line"):
        tables(f"A page.\n\n{text}")


def test_a_page_is_read_as_it_is_shown() -> None:
    """Tables, links and headings outside code; code by its lines, a continued one as one."""
    page = """# The `x` page

Text with a [link](a.md#b "title"), an ![image](c.png) and `[no](link)`.

| name | value |
|---|---:|
| a \\| b | [c](d.md) |

    make it \\
        so    # indented

```sh
# A comment
| no table |
```

## The page, again
## The page, again
"""
    (table,) = tables(page)
    assert (table.line, table.header, table.rows) == (5, ("name", "value"), ({"name": "a | b", "value": "[c](d.md)"},))
    assert links(page) == ["a.md#b", "c.png", "d.md"]
    assert anchors(page) == {"the-x-page", "the-page-again", "the-page-again-1"}
    assert [line.split() for line in code_lines(page) if line] == [
        ["make", "it", "so", "#", "indented"],
        ["#", "A", "comment"],
        ["|", "no", "table", "|"],
    ]
