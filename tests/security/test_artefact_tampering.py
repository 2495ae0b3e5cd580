"""An artefact that somebody has changed is refused before any code of it runs: what it would do is not done."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from streamer.models.artefact import BUNDLED, ModelError
from streamer.models.torchscript import load

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """An artefact to be tampered with."""
    return Path(shutil.copytree(BUNDLED, tmp_path / "model"))


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """A file that malicious code makes when it runs."""
    return tmp_path / "trace"


class Touch:
    """What a pickle runs when it is loaded."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self._path),)


class Malicious(torch.nn.Module):
    """Makes a file as soon as it is opened: what a sha256 that is looked at too late lets run."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.made = torch.zeros(4)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens.float().mean(0)

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return (self.path, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.path = state[0]
        self.training = state[1]
        self.made = torch.from_file(state[0], True, 4)


def script(trace: Path) -> Path:
    """A TorchScript that makes the file `trace`."""
    compile_script: Any = torch.jit.script
    path = trace.with_name("malicious.pt")
    compile_script(Malicious(str(trace))).save(str(path))
    assert not trace.exists()
    return path


def vouch(directory: Path, name: str) -> None:
    """Make the manifest agree with a file, as who may write it would."""
    digest = hashlib.sha256((directory / name).read_bytes()).hexdigest()
    edit(directory, lambda manifest: manifest["sha256"].update({name: digest}))


def edit(directory: Path, change: Change) -> None:
    path = directory / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def test_a_malicious_script_does_not_run(copy: Path, trace: Path) -> None:
    """In place of model.pt: refused by its sha256. That it is malicious is shown by opening it without."""
    shutil.copy(script(trace), copy / "model.pt")
    with pytest.raises(ModelError, match=r"model\.pt: damaged or changed"):
        load(copy, "cpu")
    assert not trace.exists()
    open_script: Any = torch.jit.load
    open_script(str(copy / "model.pt"))
    assert trace.exists(), "the script does nothing: this test shows nothing"


@pytest.mark.parametrize("zipped", [False, True], ids=["a pickle", "a pickle as torch.save writes it"])
def test_a_pickle_is_never_loaded(copy: Path, trace: Path, zipped: bool) -> None:
    """Not even one that the manifest vouches for: TorchScript's reader makes no Python objects."""
    if zipped:
        torch.save(Touch(trace), copy / "model.pt")
        assert zipfile.is_zipfile(copy / "model.pt")
    else:
        (copy / "model.pt").write_bytes(pickle.dumps(Touch(trace)))
    with pytest.raises(ModelError, match=r"model\.pt: damaged or changed"):
        load(copy, "cpu")
    vouch(copy, "model.pt")
    with pytest.raises(ModelError, match=r"model\.pt: not a TorchScript model"):
        load(copy, "cpu")
    assert not trace.exists()


@pytest.mark.parametrize("where", [0, 0.01, 0.25, 0.5, 0.75, 0.99, 1])
def test_one_bit_is_enough_to_be_refused(copy: Path, where: float) -> None:
    """At the head, where the code is, among the weights, at the very end."""
    content = bytearray((copy / "model.pt").read_bytes())
    content[int(where * (len(content) - 1))] ^= 1
    (copy / "model.pt").write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.pt: damaged or changed"):
        load(copy, "cpu")


@pytest.mark.parametrize("change", [b"", b"more"], ids=["cut off", "longer"])
def test_another_length_is_refused(copy: Path, change: bytes) -> None:
    """Also where all that is left, or all that was there, is as it was."""
    content = (copy / "model.pt").read_bytes()
    (copy / "model.pt").write_bytes(content + change if change else content[:-1])
    with pytest.raises(ModelError, match=r"model\.pt: damaged or changed"):
        load(copy, "cpu")


@pytest.mark.parametrize("name", ["model.pt", "vocabulary.txt", "golden.json"])
def test_the_manifest_must_vouch_for_every_file(copy: Path, trace: Path, name: str) -> None:
    """One that it leaves out is not opened without."""
    edit(copy, lambda manifest: manifest["sha256"].pop(name))
    (copy / name).write_bytes(pickle.dumps(Touch(trace)))
    with pytest.raises(ModelError, match=f"names no sha256 for {name}"):
        load(copy, "cpu")
    assert not trace.exists()


@pytest.mark.parametrize(
    "name",
    ["../outside", "..", ".", "", "/etc/hostname", "a/b", "a\\b", ".hidden", "model.pt\x00", "model.pt\n", "~", "C:x"],
    ids=repr,
)
def test_no_file_outside_is_read(copy: Path, name: str) -> None:
    """A name in the manifest is the name of a file beside it, and no way to another."""
    (copy.parent / "outside").write_bytes(b"x")
    digest = hashlib.sha256(b"x").hexdigest()
    edit(copy, lambda manifest: manifest["sha256"].update({name: digest}))
    with pytest.raises(ModelError, match=r"manifest\.json: sha256"):
        load(copy, "cpu")


def test_a_link_is_what_it_leads_to(copy: Path, trace: Path) -> None:
    """A link to the very file is as good as the file; one to another is refused by its sha256."""
    original = copy.with_name("original.pt")
    (copy / "model.pt").rename(original)
    (copy / "model.pt").symlink_to(original)
    assert load(copy, "cpu").manifest.name
    (copy / "model.pt").unlink()
    (copy / "model.pt").symlink_to(script(trace))
    with pytest.raises(ModelError, match=r"model\.pt: damaged or changed"):
        load(copy, "cpu")
    assert not trace.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not JSON"),
        (b"[" * 10_000_000, "not JSON"),
        (b'{"format": 1, "sha256": {' + b",".join(b'"f%d": "0"' % n for n in range(500_000)) + b"}}", "is missing"),
        (b'{"format": 1, "name": "' + b"x" * 50_000_000 + b'"}', "is missing"),
        (b"5", "must be a table"),
        (b'{"format": "1"}', "this version reads format"),
        (b'{"format": 1}\xff', "not JSON"),
    ],
    ids=["empty", "deep", "many files", "huge", "a number", "a format in words", "not UTF-8"],
)
def test_a_manifest_out_of_order_is_refused(copy: Path, content: bytes, said: str) -> None:
    """Whatever it is, in words, and in no great time."""
    (copy / "manifest.json").write_bytes(content)
    with pytest.raises(ModelError, match=said) as refused:
        load(copy, "cpu")
    assert len(str(refused.value)) < 10_000


def test_a_pinned_manifest_vouches_for_everything(copy: Path, trace: Path) -> None:
    """Who can change the manifest too is stopped by the pin, which lies elsewhere; the right one lets it pass."""
    pin = hashlib.sha256((copy / "manifest.json").read_bytes()).hexdigest()
    assert load(copy, "cpu", "float32", pin=pin.upper()).manifest.name
    (copy / "manifest.json").write_bytes((copy / "manifest.json").read_bytes() + b" ")
    with pytest.raises(ModelError, match=r"manifest\.json: not the one that model\.sha256 names"):
        load(copy, "cpu", "float32", pin=pin)
    assert not trace.exists()


@pytest.mark.parametrize("name", ["manifest.json", "vocabulary.txt"])
@pytest.mark.timeout(30)
def test_a_pipe_is_not_waited_for(copy: Path, name: str) -> None:
    """Nor a device read without end."""
    (copy / name).unlink()
    os.mkfifo(copy / name)
    with pytest.raises(ModelError, match="not a file"):
        load(copy, "cpu", "float32")


@pytest.mark.parametrize("name", ["", "a\nb", "\x1b[31mred", " a", "a" * 101])
def test_a_name_that_would_forge_a_log_line_is_refused(copy: Path, name: str) -> None:
    """It goes into logs, metrics and every result."""
    path = copy / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"name": name}))
    with pytest.raises(ModelError, match="name"):
        load(copy, "cpu", "float32")
