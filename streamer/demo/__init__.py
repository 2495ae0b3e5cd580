"""The embedded broker, the samples and the demos."""
