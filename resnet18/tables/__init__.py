"""What records say as numbers: metrics, statistics, and the tables in the report's own shape."""
