"""Exploring a task: by arguments, scenarios and schedules that are drawn, and what they find."""
