"""Driving those who read progress: by results as they would be at every poll."""
