"""What serves on Databricks: the endpoint that follows the champion, and the jobs that move it."""
