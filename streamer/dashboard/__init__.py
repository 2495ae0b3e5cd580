"""`streamer dashboard`: the stream in a browser, and a moderator's verdicts back into Kafka.

items, latest, queue, series, workers: pure, what the pages show. follow: keeps it up to date from the topics.
access: who may see it. app, stream: the pages and what is sent to them. verdicts: what a moderator says.
serving: puts it together. static/: the pages themselves, small ES modules without a build step.
"""
