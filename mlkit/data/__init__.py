"""Data: where rows come from, what they keep, how they are named and cut."""
