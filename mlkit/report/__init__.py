"""The page of everything done in a project."""
