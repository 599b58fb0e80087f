"""The sections of a report: each a function from the context to one section, or to none."""
