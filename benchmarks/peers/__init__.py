"""Other ways to label reviews from Kafka with the same model, each as its library's own documentation has it.

    python -m benchmarks.peers.NAME --bootstrap HOST:PORT --input TOPIC --output TOPIC --group GROUP --artefact DIR

All read {"id", "text"}, publish {"id", "label", "score"} under the same key, commit after publishing, and stop on
SIGTERM. `make peers` installs the libraries into an environment of their own.
"""
