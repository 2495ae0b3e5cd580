"""How many workers, cores and partitions a rate takes."""
