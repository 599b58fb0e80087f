"""`mlkit demo`: the whole life cycle on real flights, told as it happens. Uses the public names only."""
