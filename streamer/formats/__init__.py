"""What is read and written, as bytes."""
