"""Where tables live: the seam, and the engines behind it."""
