"""The checks of `streamer check`.

checks: all checks, in their order.
topics: the topics of the service, and how they are created.
connectivity: whether the brokers accept a connection.
findings: what the results mean, in words.
"""
