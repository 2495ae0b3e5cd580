"""The artefact is checked before it runs, and the model says the same in every shape of batch."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from streamer.models.artefact import BUNDLED, ModelError, read_artefact
from streamer.models.cost_table import measure_costs, smoothed
from streamer.models.torchscript import Model, load
from streamer.text import Encoded
from tests.texts import reviews

SENTENCES = {
    "商品质量相当不错,点赞": "positive",
    "什么破东西,简直没法使用": "negative",
    "This film is terrible": "negative",
    "This film is great": "positive",
}


@pytest.fixture(scope="module")
def model() -> Model:
    return load(BUNDLED, "cpu", "float32", evidence_tokens=5)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """An artefact to be tampered with."""
    return Path(shutil.copytree(BUNDLED, tmp_path / "model"))


def encode(model: Model, text: str) -> Encoded:
    return model.vocabulary.encode(text, model.manifest.max_tokens)


def edit_manifest(directory: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = directory / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def replace(directory: Path, name: str, content: bytes) -> None:
    """Put other content under a name, with the manifest made to agree."""
    (directory / name).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    edit_manifest(directory, lambda manifest: manifest["sha256"].update({name: digest}))


@pytest.mark.parametrize(("text", "label"), SENTENCES.items())
def test_labels_plain_sentences(model: Model, text: str, label: str) -> None:
    """Plain praise and plain blame, in Chinese and in English, get their labels."""
    (prediction,) = model.predict([encode(model, text)])
    assert prediction.label == label
    assert prediction.confidence == max(prediction.score, 1 - prediction.score)


def test_a_text_without_tokens_is_uncertain(model: Model) -> None:
    """Nothing to judge, alone or among others: uncertain, 0.5, no evidence."""
    empty, other = encode(model, " \n"), encode(model, "great")
    for prediction in (model.predict([empty])[0], model.predict([other, empty])[1]):
        assert (prediction.label, prediction.score, prediction.tokens, prediction.evidence) == ("uncertain", 0.5, 0, ())


def test_padding_changes_no_score(model: Model) -> None:
    """A review scores the same alone as beside longer ones, and in a batch that was filled up."""
    chooser = random.Random(1)
    words = ["质量", "很", "好", "差", "terrible", "great", "not", "的", "film"]
    reviews = [encode(model, " ".join(chooser.choices(words, k=chooser.randint(1, 60)))) for _ in range(37)]
    together = model.predict(reviews)
    for review, prediction in zip(reviews, together, strict=True):
        assert prediction.score == pytest.approx(model.predict([review])[0].score, abs=2e-6)


def test_evidence_is_of_the_review_itself(model: Model) -> None:
    """The strongest tokens first, out of the text's own, no more than it has."""
    (prediction,) = model.predict([encode(model, "terrible waste")])
    assert {item.token for item in prediction.evidence} == {"terrible", "waste"}
    assert [abs(item.weight) for item in prediction.evidence] == sorted(abs(i.weight) for i in prediction.evidence)[
        ::-1
    ]
    assert all(item.weight < 0 for item in prediction.evidence)


def test_weights_add_up_to_the_logit(model: Model) -> None:
    """The evidence over all tokens is the logit, and pads have none of it."""
    review = encode(model, "还不错，但是物流太慢了 and the box was broken")
    ids = model.collate([review], len(review) + 5, 2)
    score, weight = model.explain(ids)
    assert torch.logit(score[0]).item() == pytest.approx(weight[:, 0].sum().item(), abs=1e-4)
    assert weight[len(review) :, 0].abs().max().item() == 0.0


def test_short_precision_gives_the_same_labels() -> None:
    """bfloat16 agrees with the golden scores to within its tolerance, and auto picks a form that does."""
    artefact = read_artefact(BUNDLED)
    assert Model(artefact, "cpu", "bfloat16").golden_error(artefact.golden) < 0.05
    assert load(BUNDLED, "cpu").precision in ("bfloat16", "float32")


@pytest.mark.slow
def test_the_form_that_serves_labels_as_float32_does() -> None:
    """At least 998 of 1,000 real reviews, the uncertain band's edges included; without bfloat16 all of them."""
    exact, served = load(BUNDLED, "cpu", "float32"), load(BUNDLED, "cpu", evidence_tokens=5)
    encoded = sorted((encode(exact, text) for text in reviews(4_000)), key=len)
    differing = 0
    for begin in range(0, len(encoded), 256):
        batch = encoded[begin : begin + 256]
        pairs = zip(exact.predict(batch), served.predict(batch), strict=True)
        differing += sum(one.label != other.label for one, other in pairs)
    assert differing <= 0.002 * len(encoded)


@pytest.mark.gpu
def test_cuda_agrees() -> None:
    """float16 on a CUDA device gives the golden scores."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    model = load(BUNDLED, "cuda", evidence_tokens=5)
    assert (model.device, model.precision) == ("cuda", "float16")
    assert model.predict([encode(model, "This film is great")])[0].label == "positive"


def test_costs_ascend_with_length_and_size(model: Model) -> None:
    """A longer or a larger batch is never measured cheaper."""
    table = measure_costs(model.predict, 256, max_reviews=8, max_padded_tokens=2048, budget=0.0)
    assert table.sizes == (1, 2, 4, 8)
    assert all(list(row) == sorted(row) for row in table.seconds)
    assert all(list(column) == sorted(column) for column in zip(*table.seconds, strict=True))


def test_smoothing_takes_outliers_down() -> None:
    """One slow run among fast ones is put down to a neighbour on the machine."""
    assert smoothed([[1.0, 9.0, 3.0], [2.0, 2.5, 4.0]]) == ((1.0, 2.5, 3.0), (2.0, 2.5, 4.0))


@pytest.mark.parametrize("name", ["model.pt", "vocabulary.txt", "golden.json", "README.md", "weights.safetensors"])
def test_refuses_a_changed_file(copy: Path, name: str) -> None:
    """One flipped bit in any file of the artefact, before anything of it is opened."""
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(ModelError, match=f"{name}: damaged or changed"):
        load(copy, "cpu")


@pytest.mark.parametrize("name", ["manifest.json", "model.pt", "vocabulary.txt", "golden.json"])
def test_refuses_a_missing_file(copy: Path, name: str) -> None:
    """The file that is not there is named."""
    (copy / name).unlink()
    with pytest.raises(ModelError, match=f"{name}: No such file"):
        load(copy, "cpu")


def test_refuses_a_directory_that_is_no_artefact(tmp_path: Path) -> None:
    """A path that leads nowhere."""
    with pytest.raises(ModelError, match=r"nowhere/manifest\.json: No such file"):
        load(tmp_path / "nowhere", "cpu")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format=2), "format 2, this version reads format 1"),
        (lambda m: m.pop("name"), "name: is missing"),
        (lambda m: m["tokeniser"].update(normalisation=99), "normalisation 99"),
        (lambda m: m.update(labels=["bad"]), "labels"),
        (lambda m: m.update(labels=["bad", "bad"]), "none of them twice"),
        (lambda m: m.update(labels=["bad", "uncertain"]), "no class can have this name"),
        (lambda m: m.update(labels=["bad", "so-so", "good"]), "more than two a threshold"),
        (lambda m: m.update(max_tokens=0), "max_tokens"),
        (lambda m: m["sha256"].pop("model.pt"), "no sha256 for model.pt"),
        (lambda m: m["sha256"].update({"../../etc/passwd": "0"}), "sha256"),
        (lambda m: m["sha256"].update({"..": "0"}), "sha256"),
    ],
)
def test_refuses_a_foreign_manifest(copy: Path, change: Callable[[dict[str, Any]], object], message: str) -> None:
    """Another format, another tokeniser, fields missing, files outside the directory."""
    edit_manifest(copy, change)
    with pytest.raises(ModelError, match=message):
        load(copy, "cpu")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.pt", b"not a model", "not a TorchScript model"),
        ("vocabulary.txt", b"a\nb\n", "a vocabulary begins with"),
        ("vocabulary.txt", b"\xff\xfe", "vocabulary.txt"),
        ("golden.json", b"{}", "no golden texts"),
        ("golden.json", b'[{"text": "x"}]', "not a list of texts"),
        ("golden.json", b'[{"text": "This film is great", "score": 0.01}]', "does not give its golden scores"),
    ],
)
def test_refuses_what_disagrees(copy: Path, name: str, content: bytes, message: str) -> None:
    """Files that the manifest vouches for, but that are not what they should be."""
    replace(copy, name, content)
    with pytest.raises(ModelError, match=message):
        load(copy, "cpu")


def test_refuses_a_script_without_explain(copy: Path, tmp_path: Path) -> None:
    """A TorchScript module of somebody else's."""

    class Foreign(torch.nn.Module):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return tokens.float().mean(0)

    compile_script: Any = torch.jit.script
    foreign = compile_script(Foreign())
    foreign.save(str(tmp_path / "foreign.pt"))
    replace(copy, "model.pt", (tmp_path / "foreign.pt").read_bytes())
    with pytest.raises(ModelError, match="no explain method"):
        load(copy, "cpu")


def test_refuses_cuda_where_there_is_none() -> None:
    """Asked for a device that is not there, it says so instead of taking another."""
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ModelError, match="no CUDA device"):
        load(BUNDLED, "cuda")
