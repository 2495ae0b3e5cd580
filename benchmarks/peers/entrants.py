"""Who takes part in `end_to_end`, and how each is started."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

from benchmarks.contenders import Contender, Wiring
from benchmarks.contenders import ours as streamer_run

# Libraries that ask for older versions of what we use live in an environment of their own: `make peers`.
ENVIRONMENT = Path(sys.prefix, "peers", "bin", "python")


@dataclass(frozen=True, slots=True)
class Entrant:
    """One way of labelling a topic.

    module: of `benchmarks.peers`; None is this project itself. package: what it needs to be installed.
    options: of the peer's command line; settings: of ours, by name without `STREAMER_`. sizes: batch sizes to try.
    """

    name: str
    about: str
    module: str | None = None
    package: str = "streamer"
    options: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    sizes: tuple[int, ...] = ()
    packed: bool = False  # Packed sequences: what is padded is not computed.

    def with_options(self, name: str = "", about: str = "", **options: str) -> Entrant:
        """The same with other options, under another name where one is given."""
        options = {**self.options, **options}
        packed = self.packed and options.get("form") != "gated"
        return replace(self, name=name or self.name, about=about or self.about, options=options, packed=packed)


SIZES = (16, 64, 256, 1024)
OURS = Entrant("ours", "this project", settings={"OUTPUT__EVIDENCE_TOKENS": "0"})
ARRIVAL = replace(
    OURS,
    name="ours_arrival",
    about="(e) this project, batches in arrival order",
    settings={**OURS.settings, "BATCHING__POLICY": "arrival"},
)
TUTORIAL = Entrant("tutorial", "(a) the tutorial way", "tutorial_peer", "confluent_kafka")
FASTSTREAM = Entrant(
    "faststream", "(b) FastStream, batch subscriber", "faststream_peer", "faststream", sizes=SIZES, packed=True
)
QUIX = Entrant("quix", "(c) Quix Streams", "quix_peer", "quixstreams", sizes=(1, *SIZES))
CONFLUENT = Entrant("confluent", "(d) confluent-kafka, fixed batches", "confluent_peer", "confluent_kafka", sizes=SIZES)
BATCHING = (FASTSTREAM, QUIX, CONFLUENT)
ALL = (OURS, TUTORIAL, *BATCHING, ARRIVAL)


def missing(entrant: Entrant) -> str | None:
    """Why an entrant cannot take part here; None when it can."""
    if entrant.module is not None and interpreter(entrant.package) is None:
        return f"{entrant.package} is not installed: make peers"
    return None


def interpreter(package: str) -> str | None:
    """The Python that has a package: this one, or that of the peers' environment; None where neither has."""
    if find_spec(package) is not None:
        return sys.executable
    found = any(ENVIRONMENT.parents[1].glob(f"lib/python*/site-packages/{package}"))
    return str(ENVIRONMENT) if found and ENVIRONMENT.exists() else None


def contender(entrant: Entrant, wiring: Wiring, port: int) -> Contender:
    """How to start an entrant; ours serves its metrics on `port`. No peer's threads spin while they wait, as ours."""
    if entrant.module is None:
        return streamer_run({**entrant.settings, "HTTP__PORT": str(port)})(wiring)
    python = interpreter(entrant.package)
    assert python is not None, f"this is a bug: {missing(entrant)}"
    given = {
        "bootstrap": wiring.bootstrap,
        "input": wiring.input,
        "output": wiring.output,
        "group": wiring.group,
        "artefact": str(wiring.artefact.resolve()),
        **entrant.options,
    }
    options = [part for name, value in given.items() for part in (f"--{name}", value)]
    return Contender((python, "-m", f"benchmarks.peers.{entrant.module}", *options), {"OMP_WAIT_POLICY": "PASSIVE"})
