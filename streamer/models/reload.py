"""Changes the model without a restart: loads the new one beside the current one, tests it, and swaps it in between
two reviews. Reloads on SIGHUP, and whenever the artefact's manifest.json changes, if `model.watch_ms` is set.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

from streamer.models.artefact import BUNDLED, Manifest, ModelError
from streamer.ports import ModelObserver
from streamer.printable import shown_path
from streamer.settings import Settings, SettingsError

log = logging.getLogger(__name__)

Install = Callable[[], None]
Load = Callable[[], tuple[Manifest, Install]]
_State = tuple[int, int, int] | None


class Reloader:
    """Keeps the current model up to date with its directory. `run` until cancelled."""

    def __init__(self, settings: Settings, serving: Manifest, load: Load, metrics: ModelObserver) -> None:
        """`load` takes seconds and runs in a thread; the function that it returns is called on the event loop."""
        self._manifest = (settings.model.path or BUNDLED) / "manifest.json"
        self._seconds = settings.model.watch_ms / 1000 or None
        self._serving = serving
        self._load = load
        self._metrics = metrics
        self._requested = asyncio.Event()
        self._seen = _state(self._manifest)
        metrics.model(serving.name, serving.version)

    def ask(self) -> None:
        """Reload the artefact, even if it has not changed."""
        self._requested.set()

    async def run(self) -> None:
        """Wait for a change, load, install. A refused artefact changes nothing."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._seconds):
                    await self._requested.wait()
            state = _state(self._manifest)
            if not self._requested.is_set() and state == self._seen:
                continue
            self._requested.clear()
            self._seen = state
            await self._reload()

    async def _reload(self) -> None:
        try:
            manifest, install = await asyncio.to_thread(self._load)
            self._check(manifest)
        except (ModelError, SettingsError) as error:
            self._metrics.reload("refused")
            log.error("%s; %s %s keeps serving", error, self._serving.name, self._serving.version)
            return
        if manifest == self._serving:
            self._metrics.reload("unchanged")
            log.info("model %s %s is the one that serves", manifest.name, manifest.version)
            return
        self._serving = manifest
        install()
        self._metrics.model(manifest.name, manifest.version)
        self._metrics.reload("done")

    def _check(self, new: Manifest) -> None:
        """Raises ModelError if readers could not distinguish the two models."""
        old = self._serving
        if (new.name, new.version) == (old.name, old.version) and new != old:
            raise ModelError(
                f"{shown_path(self._manifest)}: another model under the name and version of the one that serves: "
                "give it a version of its own"
            )


def _state(path: Path) -> _State:
    """Identifies a version of the manifest file; None if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
