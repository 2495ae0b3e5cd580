"""Writes what the docs say of the code, from the code.

    python docs/generate.py            # write
    python docs/generate.py --check    # say which files differ; exit code 1 when one does

labelled-review.schema.json, trend.schema.json and asyncapi.json as a whole; in operations.md, scaling.md and
moderation.md what stands between the markers.
"""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from prometheus_client import Counter, Gauge, Histogram
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rich.console import Console

from streamer.formats.asyncapi import asyncapi
from streamer.formats.schema import json_schema
from streamer.observe.metrics import Durations, Metrics
from streamer.planning.plan import Request, plan
from streamer.planning.profiles import stored
from streamer.planning.table import show
from streamer.planning.worker import mix, worker_at
from streamer.settings import PREFIX, RuleSettings, Settings
from streamer.settings.deprecated import RENAMED
from streamer.trends.schema import trend_schema

FOLDER = Path(__file__).resolve().parent
_UNITS = {"_ms": "ms", "_bytes": "bytes"}


def main(arguments: Sequence[str]) -> int:
    """Write the files, or with --check compare them; returns the exit code."""
    check = "--check" in arguments
    differing = [path for path, content in generated(FOLDER).items() if _read(path) != content]
    for path in differing:
        if check:
            print(f"{path.name} is not what the code says: run `python docs/generate.py`", file=sys.stderr)
        else:
            path.write_text(generated(FOLDER)[path])
            print(f"wrote {path.name}")
    return int(check and bool(differing))


def generated(folder: Path) -> dict[Path, str]:
    """What each file should hold; those with tables of ours are read for what stands around them."""
    settings = Settings.model_construct()
    document = asyncapi(
        settings.input.topic,
        settings.output.topic,
        settings.dead_letter_topic,
        settings.review_topic,
        settings.verdict_topic,
        settings.trend_topic,
    )
    operations = folder / "operations.md"
    text = _read(operations)
    tables = (("settings", settings_tables()), ("renamed", renamed_table()), ("metrics", metrics_table()))
    for name, table in tables:
        text = _between(text, operations, name, table)
    scaling = folder / "scaling.md"
    planned = {}
    if scaling.is_file():
        planned[scaling] = _read(scaling)
        for name, table in (("plan", plan_example()), ("rates", plan_table()), ("points", points_table())):
            planned[scaling] = _between(planned[scaling], scaling, name, table)
    moderation = folder / "moderation.md"
    if moderation.is_file():
        planned[moderation] = _between(_read(moderation), moderation, "rules", rules_table())
    return planned | {
        folder / "labelled-review.schema.json": _json(json_schema()),
        folder / "trend.schema.json": _json(trend_schema()),
        folder / "asyncapi.json": _json(document),
        operations: text,
    }


def _read(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _between(text: str, page: Path, name: str, content: str) -> str:
    """The page's text with new content between `<!-- name -->` and `<!-- /name -->`."""
    pattern = rf"(<!-- {name}:.*?-->\n).*?(<!-- /{name} -->)"
    replaced, count = re.subn(pattern, lambda found: f"{found[1]}\n{content}\n{found[2]}", text, flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"{page.name}: {count} places for the {name}, there must be one")
    return replaced


def settings_tables() -> str:
    """A table for each section of the settings."""
    lines: list[str] = []
    section: tuple[str, ...] | None = None
    for path, field, described in _settings(Settings, ()):
        if path[:-1] != section:
            section = path[:-1]
            title = f"`{'.'.join(section)}`" if section else "Of the service"
            lines += [
                "",
                f"### {title}",
                "",
                "| setting | variable | type | default | meaning |",
                "|---|---|---|---|---|",
            ]
        variable = PREFIX + "__".join(part.upper() for part in path)
        default = "unset" if field.default is None else f"`{json.dumps(field.default)}`"
        meaning = (field.description or "").replace("|", "\\|")
        lines.append(f"| `{path[-1]}` | `{variable}` | {_kind(path[-1], described)} | {default} | {meaning} |")
    return "\n".join([*lines[1:], ""])


def renamed_table() -> str:
    """A line for each setting that has a new name."""
    lines = ["| old name | new name |", "|---|---|"]
    lines += [f"| `{'.'.join(old)}` | `{'.'.join(new)}` |" for old, new in RENAMED.items()]
    return "\n".join([*lines, ""])


def rules_table() -> str:
    """A line for each field of a moderation rule."""
    properties = RuleSettings.model_json_schema()["properties"]
    lines = ["| field | type | meaning |", "|---|---|---|"]
    for name, field in RuleSettings.model_fields.items():
        needed = ", required" if field.is_required() else ""
        lines.append(f"| `{name}` | {_kind(name, properties[name])}{needed} | {field.description} |")
    return "\n".join([*lines, ""])


def _settings(
    model: type[BaseModel], parents: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], FieldInfo, dict[str, Any]]]:
    """Path, field and JSON Schema of every setting: those of a section first, then the sections in it."""
    properties = model.model_json_schema()["properties"]
    sections: list[tuple[str, type[BaseModel]]] = []
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            sections.append((name, field.annotation))
        else:
            yield (*parents, name), field, properties[name]
    for name, section in sections:
        yield from _settings(section, (*parents, name))


def _kind(name: str, described: dict[str, Any]) -> str:
    """Type, bounds and unit in words."""
    if "anyOf" in described:  # Or null: the default says `unset`.
        described = next(option for option in described["anyOf"] if option["type"] != "null")
    if described.get("type") == "array":
        items = described["items"]
        if "$ref" in items:
            return "list, see [moderation.md](moderation.md)"
        return f"{_kind(name, items)}, or a list" if items else "scalar, or a list"
    if "enum" in described:
        return "one of " + ", ".join(f"`{value}`" for value in described["enum"])
    named = {"path": "path", "password": "secret"}.get(described.get("format", ""))
    if named or described["type"] in ("boolean", "string"):
        return named or {"boolean": "`true` or `false`", "string": "text"}[described["type"]]
    unit = next((unit for suffix, unit in _UNITS.items() if name.endswith(suffix)), "")
    return ", ".join(filter(None, [described["type"], _bounds(described), unit]))


def _bounds(described: dict[str, Any]) -> str:
    low, high = described.get("minimum"), described.get("maximum")
    above = described.get("exclusiveMinimum")
    if above is not None and described["type"] == "integer":
        low, above = above + 1, None
    if above is not None:
        return f"above {above:g}" + ("" if high is None else f", at most {high:g}")
    if low is not None and high is not None:
        return f"{low:g} to {high:g}"
    return "" if low is None else f"at least {low:g}"


def metrics_table() -> str:
    """A line for each metric, in the order of their definition."""
    lines = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for metric in vars(Metrics()).values():
        if isinstance(metric, Counter | Durations | Gauge | Histogram):
            family = next(iter(metric.collect() if isinstance(metric, Durations) else metric.describe()))
            name = f"{family.name}_total" if family.type == "counter" else family.name
            # prometheus_client shows a metric's labels only once they have values.
            labels = ", ".join(f"`{label}`" for label in getattr(metric, "_labelnames", ())) or "none"
            lines.append(f"| `{name}` | {family.type} | {labels} | {family.documentation} |")
    return "\n".join([*lines, ""])


def plan_example() -> str:
    """What `streamer plan --rate 50000` prints, as a block of code."""
    printed = io.StringIO()
    profile = stored("cpu")
    show(plan(profile, Request(50_000, 45)), profile, Console(file=printed))
    lines = ["$ streamer plan --rate 50000", *printed.getvalue().splitlines()]
    return "\n".join([*(f"    {line}".rstrip() for line in lines), ""])


def plan_table() -> str:
    """A line for each rate from one worker's to a million a second."""
    lines = [
        "| reviews/s | workers | cores | hosts of 16 | partitions | memory, GiB | in and out, MB/s | disk, TB a day |",
        "|---|---|---|---|---|---|---|---|",
    ]
    profile = stored("cpu")
    for rate in (2_000, 10_000, 50_000, 200_000, 1_000_000):
        found = plan(profile, Request(rate, 45))
        traffic = f"{found.traffic_in.compressed:,.0f} and {found.traffic_out.compressed:,.0f}"
        cells = (rate, found.workers, found.cores, found.hosts, found.partitions, round(found.memory_gib))
        disk = f"{found.disk_gb_per_day / 1000:,.1f}"
        lines.append("| " + " | ".join([*(f"{cell:,}" for cell in cells), traffic, disk]) + " |")
    return "\n".join([*lines, ""])


def points_table() -> str:
    """What a worker was measured at, beside what the profile says of it."""
    profile = stored("cpu")
    lines = ["| command | tokens | measured, reviews/s | the plan's worker |", "|---|---|---|---|"]
    for point in profile.points:
        worker = worker_at(profile, mix(profile, point.mean_tokens), point.mean_tokens, profile.cores)
        lines.append(
            f"| `{point.command}` | {point.mean_tokens:g} | {point.reviews_per_second:,.0f} | {worker.rate:,.0f} |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
