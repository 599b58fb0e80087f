"""A package, so that the stray `tests` which some libraries install is never imported instead."""
