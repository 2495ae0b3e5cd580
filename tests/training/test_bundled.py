"""The artefact that ships is whole, small, good, and scores as it says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

import streamer
from streamer.models.torchscript import load
from training.evaluation.model_card import model_card
from training.model.export import golden_scores
from training.model.golden_texts import GOLDEN_TEXTS

ROOT = Path(streamer.__file__).parents[1]
BUNDLED = ROOT / "streamer/bundled"


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((BUNDLED / "manifest.json").read_text(encoding="utf-8"))
    return read


def test_every_file_has_the_digest_of_the_manifest(manifest: dict[str, Any]) -> None:
    """And there is no file that it does not know."""
    files = {path.name: path.read_bytes() for path in BUNDLED.iterdir() if path.name != "manifest.json"}
    assert {name: hashlib.sha256(content).hexdigest() for name, content in files.items()} == manifest["sha256"]


def test_the_artefact_is_at_most_12_megabytes() -> None:
    """It travels in the wheel."""
    assert sum(path.stat().st_size for path in BUNDLED.iterdir()) <= 12_000_000


def test_the_golden_texts_have_their_scores(manifest: dict[str, Any]) -> None:
    """On this machine, within what the order of sums may change."""
    golden = json.loads((BUNDLED / "golden.json").read_text(encoding="utf-8"))
    vocabulary = (BUNDLED / "vocabulary.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    actual = golden_scores(BUNDLED / "model.pt", vocabulary, manifest["max_tokens"])
    assert [item["text"] for item in golden] == list(GOLDEN_TEXTS)
    assert [item["score"] for item in actual] == pytest.approx([item["score"] for item in golden], abs=1e-4)


# Written for this test, in the manner of the sources that the model is for; no data set has them.
HELD_OUT = {
    "positive": (
        "手机收到了，屏幕清晰，运行流畅，拍照效果也很好，非常满意",
        "物流很快，包装完好，客服态度也不错，下次还来买",
        "苹果又大又甜，水分足，家里人都爱吃",
        "衣服面料柔软，穿着舒服，尺码也合适，推荐购买",
        "这本书写得真好，一口气读完，值得反复看",
        "酒店位置方便，房间干净，早餐丰富，服务员热情",
        "热水器安装师傅很专业，出水快，用着很省心",
        "味道很赞，送餐准时，分量也足，会再点",
        "电视画质好，音效震撼，父母看了都说好",
        "洗发水味道清香，用完头发很顺滑，性价比高",
        "I loved this film. The acting is superb and the story stays with you for days.",
        "Excellent headphones: great sound, comfortable, and the battery lasts all week.",
        "A wonderful, moving picture with brilliant performances from the whole cast.",
        "Fast delivery, works perfectly, exactly as described. Highly recommended.",
        "One of the best comedies I have seen in years, funny from beginning to end.",
        "Great value for money, easy to set up and very quiet.",
    ),
    "negative": (
        "用了两天就坏了，客服不理人，千万别买",
        "质量太差，做工粗糙，还有一股刺鼻的味道，很失望",
        "水果烂了一半，根本没法吃，申请退款也不给退",
        "衣服掉色严重，洗一次就变形，后悔买了",
        "这本书内容空洞，翻译生硬，浪费时间",
        "酒店房间又脏又吵，空调不制冷，再也不会住了",
        "安装费乱收，师傅态度恶劣，机器还漏水",
        "等了两个小时才送到，菜都凉了，难吃",
        "电视屏幕有坏点，开机广告多，卡得要命",
        "假货，用完头皮发痒，头发掉了很多，差评",
        "A dull, badly written film with wooden acting. I walked out after an hour.",
        "Stopped working after a week and the seller refuses to refund me. Avoid.",
        "The worst movie of the year: boring, predictable and far too long.",
        "Cheap plastic that broke the first time I used it. A waste of money.",
        "Terrible sound, uncomfortable, and the battery dies within an hour.",
        "Arrived late, damaged and missing half of the parts. Very disappointed.",
    ),
}


def test_texts_that_it_has_not_seen_are_judged_well() -> None:
    """At least 15 of 16 of each label get a score on their side, and no more than one the other label."""
    model = load(BUNDLED, "cpu", "float32")
    for label, texts in HELD_OUT.items():
        predictions = [model.predict([model.vocabulary.encode(text, 256)])[0] for text in texts]
        right = [(prediction.score > 0.5) == (label == "positive") for prediction in predictions]
        wrong = [t for t, found in zip(texts, predictions, strict=True) if found.label not in (label, "uncertain")]
        assert sum(right) >= len(texts) - 1, label
        assert len(wrong) <= 1, wrong
        assert sum(found.label == label for found in predictions) >= 0.8 * len(texts), label


def test_those_texts_are_held_out() -> None:
    """None of them is in what the model was trained on that was written here."""
    written = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "training/written").glob("*.jsonl"))
    assert [text for texts in HELD_OUT.values() for text in texts if text in written] == []


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("This film is terrible", "negative"),
        ("This film is great", "positive"),
        ("[泪]", "negative"),
        ("👍", "positive"),
        ("送得太慢了，饭都凉了", "negative"),
    ],
)
def test_plain_texts_are_judged_rightly(text: str, label: str) -> None:
    """Short ones of each kind that the model is for."""
    model = load(BUNDLED, "cpu", "float32")
    (verdict,) = model.predict([model.vocabulary.encode(text, 256)])
    assert verdict.label == label


def test_the_card_is_the_manifests(manifest: dict[str, Any]) -> None:
    """Nobody edits it by hand."""
    assert (BUNDLED / "README.md").read_text(encoding="utf-8") == model_card(manifest)
