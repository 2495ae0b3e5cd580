"""The image's health check: exit status 0 when all the workers of this container are ready.

    python -I /opt/healthy.py [WORKERS [PATH [PORT]]]

Worker i answers on port + i of this container's loopback. The standard library is all that it uses, and no proxy: it
runs every few seconds.
"""

import argparse
import http.client
import os
import sys

_TIMEOUT_S = 3.0


def unwell(port: int, path: str) -> str | None:
    """Why who listens there is not ready; None when it is."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read(200).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return f"port {port}: {error}"
    finally:
        connection.close()
    return None if answer.status == 200 else f"port {port}: {answer.status} {text}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("workers", nargs="?", type=int, default=1)
    parser.add_argument("path", nargs="?", default="/health/ready")
    parser.add_argument("port", nargs="?", type=int, default=os.environ.get("STREAMER_HTTP__PORT", "8080"))
    given = parser.parse_args()
    wrong = [unwell(given.port + number, given.path) for number in range(given.workers)]
    for reason in filter(None, wrong):
        print(reason)
    sys.exit(any(wrong))
