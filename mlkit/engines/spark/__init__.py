"""Tables in a catalog of Spark: classic, Spark Connect or Databricks Connect, by one code path."""
