"""The central repository: its files, whether they are current, and all its models together."""
