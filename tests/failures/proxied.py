"""Three nodes that can also be reached through proxies, one for each, as a client on the far side of a network is."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType

from tests.brokers import Wanted
from tests.brokers.kraft import KraftCluster
from tests.failures.proxy import Proxy

_LISTENER = "PROXIED"


class ProxiedCluster(KraftCluster):
    """Whoever bootstraps at `far` is told of the proxies' addresses only; `bootstrap` is the direct way."""

    def __init__(self) -> None:
        # A listener beside the brokers' own: what happens to it happens to clients alone.
        protocols = {
            "listener.security.protocol.map": f"CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,{_LISTENER}:PLAINTEXT"
        }
        super().__init__(Wanted(3, protocols, (_LISTENER,)))
        self.proxies: dict[int, Proxy] = {}
        self._tunnels = ExitStack()

    @property
    def far(self) -> str:
        """The proxies' addresses, for `bootstrap.servers`."""
        return ",".join(f"127.0.0.1:{proxy.port}" for proxy in self.proxies.values())

    def forward(self) -> None:
        """Let everything through again."""
        for proxy in self.proxies.values():
            proxy.forward()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._tunnels.close()

    def _lay_out(self) -> None:
        """As ever; then each node advertises its proxy. The last line of a properties file wins."""
        super()._lay_out()
        for number, node in self._nodes.items():
            proxy = self._tunnels.enter_context(Proxy(node.ports[_LISTENER], seed=number))
            self.proxies[number] = proxy
            direct, far = (f"127.0.0.1:{port}" for port in (node.ports["PLAINTEXT"], proxy.port))
            with (node.folder / "server.properties").open("a") as properties:
                properties.write(f"advertised.listeners=PLAINTEXT://{direct},{_LISTENER}://{far}\n")
