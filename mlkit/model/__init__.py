"""Models: describing, fitting, scoring and judging; everything is a function of its arguments."""
