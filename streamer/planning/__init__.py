"""Capacity planning: workers, cores, partitions and latency for a rate of reviews."""
