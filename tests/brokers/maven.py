"""Apache Kafka from Maven: finds Java, fetches the broker's jars once, and keeps them in a cache folder.

    ~/.cache/sentiment-streamer/kafka-<version>/   (or under XDG_CACHE_HOME)
        *.jar                   the broker and all that it needs
        bootstrap.checkpoint    what formatting writes, and the same for every node
        classes-<java>.jsa      the JVM's archive of loaded classes, made by the first node to stop in peace

About 45 MB of jars and as much for an archive, which halves the time that a node takes to start.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.brokers.cluster import Unavailable
from tests.brokers.properties import node_properties

VERSION = "4.2.1"
JAVA = 17  # The lowest that Kafka 4's broker runs on.
CLUSTER_ID = "c3RyZWFtZXItdGVzdHMtMQ"  # 16 bytes in base64, as Kafka wants it.
_FETCH_TIMEOUT_S = 240
_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>sentiment-streamer</groupId><artifactId>test-broker</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""


@dataclass(frozen=True, slots=True)
class Java:
    """A Java that the broker runs on."""

    path: str
    version: str  # As it calls itself, for example 17.0.15


@dataclass(frozen=True, slots=True)
class Installation:
    """A Java and the folder with the broker's jars."""

    java: Java
    folder: Path

    @property
    def classpath(self) -> str:
        """In a fixed order: the archive of classes is only taken for the very classpath it was made with."""
        return os.pathsep.join(str(jar) for jar in sorted(self.folder.glob("*.jar")))

    @property
    def archive(self) -> Path:
        """Where the archive of classes is, or is to be."""
        return self.folder / f"classes-{self.java.version}.jsa"

    @property
    def checkpoint(self) -> Path:
        """The metadata that a new node starts from."""
        return self.folder / "bootstrap.checkpoint"


def find_java() -> Java:
    """The Java of JAVA_HOME, else of the PATH. Raises Unavailable when there is none, or only an older one."""
    home = os.environ.get("JAVA_HOME")
    path = shutil.which("java", path=os.path.join(home, "bin")) if home else shutil.which("java")
    if path is None:
        raise Unavailable("no java on the PATH" if home is None else f"no java in JAVA_HOME ({home})")
    try:
        said = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=10, check=True).stderr
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"{path} does not run: {error}") from error
    version = re.search(r'version "((\d+)[^"]*)"', said)
    if version is None or int(version[2]) < JAVA:
        raise Unavailable(f"{path} is Java {version[1] if version else '?'}, the broker needs {JAVA}")
    return Java(path, version[1])


def _folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache, "sentiment-streamer", f"kafka-{VERSION}")


def detect() -> str:
    """What there is, in words, without fetching or starting anything but `java -version`."""
    java = find_java()
    if _folder().exists():
        return f"Apache Kafka {VERSION} on Java {java.version}"
    if shutil.which("mvn") is None:
        raise Unavailable(f"no mvn on the PATH to fetch Kafka {VERSION} with")
    return f"Apache Kafka {VERSION} on Java {java.version}, to be fetched by mvn"


def install() -> Installation:
    """The broker's jars, fetched when they are not there. Raises Unavailable when they cannot be.

    Of two runs at once one fetches and the other waits; the folder appears when it is complete.
    """
    java, folder = find_java(), _folder()
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.with_name(f"{folder.name}.lock")):
            if not folder.exists():
                with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder.parent) as temporary:
                    fetched = Path(temporary, "jars")
                    _fetch(Path(temporary), fetched)
                    _format(Installation(java, fetched), Path(temporary))
                    fetched.rename(folder)
    return Installation(java, folder)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # Given back at the close, and when this process dies.
        yield


def _fetch(folder: Path, jars: Path) -> None:
    mvn = shutil.which("mvn")
    if mvn is None:
        raise Unavailable(f"no mvn on the PATH to fetch Kafka {VERSION} with")
    (folder / "pom.xml").write_text(_POM)
    goal = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
    options = ["-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
    _run([mvn, "-q", "-B", "-f", str(folder / "pom.xml"), goal, *options], _FETCH_TIMEOUT_S)


def _format(installation: Installation, folder: Path) -> None:
    """Let Kafka's own tool format a node, and keep the checkpoint, which holds the version's feature levels."""
    data, config = folder / "data", folder / "server.properties"
    properties = node_properties(1, {1: 1}, {"PLAINTEXT": 2}, {"log.dirs": str(data)})
    write_properties(config, properties)
    tool = ["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER_ID, "--config", str(config)]
    _run([installation.java.path, "-cp", installation.classpath, *tool], 60)
    shutil.copy(data / "bootstrap.checkpoint", installation.checkpoint)


def as_file(properties: Mapping[str, str]) -> str:
    """The text of a Java properties file."""
    escaped = {key: value.replace("\\", "\\\\").replace("\n", "\\n") for key, value in properties.items()}
    return "".join(f"{key}={value}\n" for key, value in escaped.items())


def write_properties(path: Path, properties: Mapping[str, str]) -> None:
    """Write a Java properties file."""
    path.write_text(as_file(properties))


def _run(command: list[str], timeout_s: float) -> None:
    try:
        subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=True)
    except subprocess.CalledProcessError as error:
        lines = [line for line in f"{error.stdout}{error.stderr}".splitlines() if "[ERROR]" in line]
        reason = lines[0] if lines else f"exit status {error.returncode}"
        raise Unavailable(f"{os.path.basename(command[0])}: {reason}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(str(error)) from error
