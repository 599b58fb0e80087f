"""Cleanup: mark what is still reached, plan what goes, and remove it, one thing at a time."""
