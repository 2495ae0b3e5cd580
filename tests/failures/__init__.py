"""The failure suite: faults from outside, on a real three-node cluster, and nothing lost.

    make test                          the fast scenarios
    make failures                      all of them
    pytest tests/failures --failures --reliability DIR && python -m tests.failures.report DIR > docs/reliability.md

`harness` runs a scenario: `feeding` puts reviews on the input topic, `watching` sees results come, `nodes` and
`proxy` do things to brokers and to the network, and in the end `checkers` and `ownership` say what became of it.
"""
