"""Plain values that every other part speaks in: states, progress, transitions, time, errors.

Standard library only.
"""
