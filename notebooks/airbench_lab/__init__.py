"""What the lessons import. It stands on `airbench_core`, which knows nothing of it."""
