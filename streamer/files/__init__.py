"""Tables as records, and results as lines: labelling without Kafka, and reading what goes into it."""
