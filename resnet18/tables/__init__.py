"""What records say as numbers: metrics, and the tables in the report's own shape."""
