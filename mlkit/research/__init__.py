"""Exploration: studies, freezing, handing off. Never imported on a production cluster."""
