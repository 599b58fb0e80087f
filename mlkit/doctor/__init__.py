"""The doctor: what is wrong, or soon will be, with the command that mends it."""
