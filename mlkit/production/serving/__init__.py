"""What serves beside this process, and is told of a new champion: services, or Databricks with its jobs."""
