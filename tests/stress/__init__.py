"""What only real concurrency shows."""
