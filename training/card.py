"""The model card, generated from the manifest so that the two cannot differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def model_card(manifest: Mapping[str, Any]) -> str:
    """The artefact's README.md, after Mitchell et al., Model Cards for Model Reporting, 2019."""
    metrics = manifest["metrics"]
    parts = [part for part in ("test", "dev") if part in metrics]
    low, high = manifest["uncertain"]["low"], manifest["uncertain"]["high"]
    rule = manifest["uncertain_rule"]
    sections = [
        f"# {manifest['name']} {manifest['version']}",
        "Sentiment of Chinese and English reviews: the probability that a review is positive. Embedding, one "
        "bidirectional LSTM, max and mean pooling, linear; served as TorchScript.",
        "## Use",
        "For reviews of goods, books, hotels and films. It was not made for other kinds of text (news, dialogue, "
        "microblogs), knows no neutral class, and must not be the only judge of what people may say. Texts longer "
        f"than {manifest['max_tokens']} tokens are judged on their head and tail.",
        "## Data",
        _table(
            ("source", "language", "read", "train", "dev", "test", "origin", "licence"),
            [
                [row[key] for key in ("name", "language", "rows", "train", "dev", "test", "origin", "licence")]
                for row in manifest["data"]
            ],
        ),
        "Copies (the same letters and digits) were dropped, texts with both labels too. A hash of the text decides "
        "its part, so no text is in two parts. Vocabulary, weights and settings were chosen on train and dev.",
        "## Figures",
        _table(("", *parts), [[name, *cells] for name, *cells in _rows([metrics[part] for part in parts])]),
        "Accuracy and shares in per cent; ECE is the expected calibration error over 15 bins, before and after "
        "temperature scaling.",
        "## Calibration",
        f"The temperature, fitted on dev (Guo et al. 2017), is {manifest['temperature']:.3f}. Scores between {low} "
        f"and {high} are called uncertain: the narrowest band about 0.5 outside which {100 * rule['accuracy']:g} % "
        f"of the dev reviews are judged rightly, its half-width between {rule['least']} and {rule['most']}.",
        "## Files",
        "`model.pt` (TorchScript, float16), `weights.safetensors` (the same weights), `vocabulary.txt` (a token a "
        "line, line number = id, from 0), `golden.json` (texts and their float32 scores), `manifest.json`.",
    ]
    return "\n\n".join(sections) + "\n"


def _rows(figures: list[Mapping[str, Any]]) -> list[list[str]]:
    def row(name: str, *path: str) -> list[str]:
        cells = []
        for part in figures:
            value: Any = part
            for key in path:
                value = value[key]
            cells.append(f"{value:,}" if name == "reviews" else f"{100 * value:.2f}")
        return [name, *cells]

    return [
        row("reviews", "reviews"),
        row("accuracy", "accuracy"),
        *(row(f"accuracy, {name}", "by_language", name) for name in figures[0]["by_language"]),
        *(row(f"accuracy, {name}", "by_source", name) for name in figures[0]["by_source"]),
        row("ECE before", "ece_before"),
        row("ECE after", "ece_after"),
        row("uncertain", "uncertain"),
        row("accuracy outside the band", "accuracy_outside"),
    ]


def _table(header: tuple[str, ...], rows: list[list[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
