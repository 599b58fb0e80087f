"""The half of the documentation that is a list of the code: written from the code, and checked against it.

Pages of which there are a few stand in ``docs/reference`` and are reviewed like code; what is generated in
them stands between two comments. A page per error code and per public name would be hundreds of files that
only repeat the code: they are written when the site is built, and git ignores them.

``python -m tests.checks.reference`` writes all of it; with ``--check`` it fails where a page of the first
kind is stale. ``mkdocs`` does the same by ``tests/checks/docs_hook.py``.
"""
