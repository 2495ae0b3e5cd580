"""Reads files as records and writes results as lines: for labelling without Kafka, and for files sent to Kafka."""
