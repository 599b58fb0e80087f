"""Memoised steps of a script: each runs once for the same code on the same content."""
