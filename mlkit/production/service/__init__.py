"""The service: a champion answers over HTTP, and every answer is logged."""
