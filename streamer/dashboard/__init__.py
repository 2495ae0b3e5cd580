"""`streamer dashboard`: the stream in a browser, and moderators' decisions back into Kafka.

reviews, queue, charts, workers: pure; what the pages show of results, held reviews, trends and workers' metrics.
state: all of it in one place. collectors: the tasks that keep it up to date from the topics and the workers.
access: who may see the dashboard. app: the routes. session: what is sent to one open page.
serving: puts it together, and publishes decisions.
static/: the pages themselves, small ES modules without a build step.
"""
