"""What is read and published, as bytes: `decode` and `encode`, and the formats that they are made of. Pure."""
