"""Observability: metrics, traces, logs, health pages and terminal output."""
