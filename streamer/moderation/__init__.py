"""Rules for what becomes of a review, and what people decide."""
