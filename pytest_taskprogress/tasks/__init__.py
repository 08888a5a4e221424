"""What tasks are written with, in production as in tests: reports, and outcomes that last.

Nothing here imports pytest or Hypothesis.
"""
