"""Moderation rules, and people's decisions."""
