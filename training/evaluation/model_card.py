"""The model card, generated from the manifest so that the two cannot differ.

After Mitchell et al., Model Cards for Model Reporting, FAT* 2019.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]

_PLOTS = {
    "learning-curve.png": "loss and accuracy by epoch",
    "reliability.png": "reliability diagram, before and after temperature scaling",
    "confusion.png": "confusion matrix",
    "coverage.png": "accuracy against the share that is not called uncertain",
    "lengths.png": "tokens of the train reviews",
}


def model_card(manifest: Json) -> str:
    """The artefact's README.md. What the manifest lacks is left out."""
    splits = {name: manifest["metrics"][name] for name in ("test", "dev") if name in manifest["metrics"]}
    for name in [*splits]:
        if splits[name].get("unseen"):
            splits[f"{name}, unseen"] = splits[name]["unseen"]
    sections = [
        f"# {manifest['name']} {manifest['version']}",
        f"Sentiment of {_languages(manifest['data'])} reviews: the probability that a review is positive. "
        + _network(manifest),
        "## Use",
        "For reviews and short comments of the kinds below. It was not made for other texts (news, dialogue, poetry), "
        "knows no neutral class, misses irony, and must not be the only judge of what people may say. Texts longer "
        f"than {manifest['max_tokens']} tokens are judged on their head and tail.",
        "## Data",
        _table(
            ("source", "language", "read", "train", "dev", "test", "origin", "licence"),
            [
                [row[key] for key in ("name", "language", "rows", "train", "dev", "test", "origin", "licence")]
                for row in manifest["data"]
            ],
        ),
        _splitting(manifest),
        "## Figures",
        _table(("", *splits), _metric_rows([*splits.values()])),
        "Per cent. In brackets the middle 95 % of 1,000 bootstrap samples of the reviews. Every review is judged as "
        "positive or negative here, the uncertain band notwithstanding. Lengths are in tokens."
        + (" *Unseen* are the reviews whose texts are not in train." if len(splits) > len(manifest["metrics"]) else ""),
        "## Calibration",
        _table(("", *splits), _calibration_rows([*splits.values()])),
        _calibrated(manifest),
        *_checklist(manifest.get("checklist")),
        *_plots(manifest.get("plots", ())),
        "## Files",
        "`model.pt` (TorchScript, float16), `weights.safetensors` (the same weights), `vocabulary.txt` (a token a "
        "line, line number = id, from 0), `golden.json` (texts, their float32 scores), `manifest.json` (all figures).",
    ]
    return "\n\n".join(sections) + "\n"


def _languages(data: Iterable[Json]) -> str:
    names = {"zh": "Chinese", "en": "English"}
    found = dict.fromkeys(row["language"] for row in data)
    return " and ".join(names[language] for language in found if language in names) or "labelled"


def _network(manifest: Json) -> str:
    network = "Embedding, one bidirectional LSTM, max and mean pooling, linear"
    if share := manifest.get("linear_share"):
        network += f"; beside it weights of tokens and of pairs of neighbours, with a share of {share:.2f} in the logit"
    return network + ". Served as TorchScript."


def _splitting(manifest: Json) -> str:
    leaks = manifest.get("leaks", 0)
    apart = f"{leaks:,} texts are in two parts, as published" if leaks else "no text is in two parts"
    return (
        f"Copies (the same letters and digits) and texts with both labels were dropped; {apart}. Vocabulary, weights "
        "and settings were chosen on train and dev."
    )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _with_interval(value: float | None, interval: Sequence[float] | None) -> str:
    if value is None or interval is None:
        return _percent(value)
    return f"{100 * value:.2f} ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})"


def _rows(splits: Sequence[Json], cells: Mapping[str, Callable[[Json], str]]) -> list[list[str]]:
    return [[name, *(cell(split) for split in splits)] for name, cell in cells.items()]


def _metric_rows(splits: Sequence[Json]) -> list[list[str]]:
    def named(what: str) -> Callable[[Json], str]:
        return lambda split: _with_interval(split[what], split["intervals"].get(what))

    rows = _rows(
        splits,
        {
            "reviews": lambda split: f"{split['reviews']:,}",
            "accuracy": named("accuracy"),
            "macro F1": named("macro_f1"),
        },
    )
    for name in dict.fromkeys(label for split in splits for label in split["by_class"]):
        for what in ("precision", "recall", "f1"):
            cells = [_percent(split["by_class"][name][what]) for split in splits]
            rows.append([f"{'F1' if what == 'f1' else what} of {name}", *cells])
    for by in ("by_language", "by_source", "by_length"):
        for name in dict.fromkeys(key for split in splits for key in split[by]):
            rows.append([f"accuracy, {name}", *(_group(split[by].get(name)) for split in splits)])
    return rows


def _group(group: Json | None) -> str:
    if group is None:
        return "-"
    return f"{_with_interval(group['accuracy'], group['accuracy_interval'])} of {group['reviews']:,}"


def _calibration_rows(splits: Sequence[Json]) -> list[list[str]]:
    def neutral(split: Json) -> str:
        found = split.get("neutral")
        return f"{_percent(found['uncertain'])} of {found['reviews']:,}" if found else "-"

    rows = _rows(
        splits,
        {
            "expected calibration error, before": lambda split: _percent(split["ece_before"]),
            "expected calibration error, after": lambda split: _percent(split["ece_after"]),
            "Brier score, before": lambda split: _percent(split["brier_before"]),
            "Brier score, after": lambda split: _percent(split["brier_after"]),
            "called uncertain": lambda split: _percent(split["uncertain"]),
            "accuracy of the others": lambda split: _percent(split["accuracy_outside"]),
            "neutral reviews called uncertain": neutral,
        },
    )
    return [row for row in rows if any(cell != "-" for cell in row[1:])]


def _calibrated(manifest: Json) -> str:
    low, high = manifest["uncertain"]["low"], manifest["uncertain"]["high"]
    rule = manifest["uncertain_rule"]
    return (
        f"The temperature, fitted on dev (Guo et al. 2017), is {manifest['temperature']:.3f}; errors are over 15 bins. "
        f"Scores between {low} and {high} are called uncertain: the narrowest band about 0.5 outside which "
        f"{100 * rule['accuracy']:g} % of the dev reviews are judged rightly, its half-width between {rule['least']} "
        f"and {rule['most']}."
    )


def _checklist(checklist: Json | None) -> list[str]:
    """What the minimal pairs show that the model can and cannot read."""
    if checklist is None:
        return []
    rows = [[name, f"{found['passed']} of {found['pairs']}"] for name, found in checklist["by_capability"].items()]
    known = [
        f"{name} ({found['passed']} of {found['pairs']} as expected)"
        for name, found in checklist["known_failures"].items()
    ]
    return [
        "## What it can read",
        f"Of {checklist['pairs']} pairs of texts that differ in one thing, {checklist['passed']} were judged as they "
        "should be (training/checklist.jsonl; none was trained on).",
        _table(("pairs on", "as expected"), rows),
        f"Known to fail: {', '.join(known)}." if known else "Nothing is known to fail always.",
    ]


def _plots(names: Iterable[str]) -> list[str]:
    shown = [f"![{_PLOTS.get(name, name)}]({name})" for name in names]
    return ["## Plots", *shown] if shown else []


def _table(header: tuple[str, ...], rows: list[list[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
