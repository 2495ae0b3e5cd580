"""What `streamer check` asks the cluster.

checks: all checks, in their order.
topics: the topics of the service, and how they are created.
connectivity: whether the brokers accept a connection.
findings: what the facts mean, in words.
"""
