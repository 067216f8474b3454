"""What to run: specs as frozen values, TOML loading, ids, the plan. Only pydantic and the standard library."""
