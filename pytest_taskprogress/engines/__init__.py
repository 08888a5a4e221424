"""Engines: what runs a task for a test, and what they are made of.

`eager` drives `worker` (Celery's own worker code) over `broker` (a Kombu transport in memory) and
`backend` (a result backend in memory); `installation` puts them on an app and takes them off again.
"""
