"""From the source to the commit, a stage a file; `pipeline` is the life cycle."""
