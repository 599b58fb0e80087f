"""The words of the command line: every command with its examples, options and page."""
