"""What `streamer check` asks the cluster."""
