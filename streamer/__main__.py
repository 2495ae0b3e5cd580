"""`python -m streamer` is `streamer`."""

from streamer.cli import main

main()
