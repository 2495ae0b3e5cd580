"""`streamer dashboard`: the stream in a browser, and moderators' decisions back into Kafka.

reviews, queue, charts, workers: what the pages show of results, held reviews, trends and workers' metrics. Pure.
state: all of this in one place. collectors: the tasks that update it from the topics and the workers.
access: authentication and request checks. app: the routes. session: the events that one open page receives.
serving: starts and stops the dashboard, and publishes decisions.
static/: the pages themselves, small ES modules without a build step.
"""
