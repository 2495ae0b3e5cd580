"""What the outside sees: metrics, traces, logs, pages and terminals."""
