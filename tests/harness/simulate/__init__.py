"""Seeded schedules of users, workers, crashes and faults over the engine, judged by what was really done.

``python -m tests.harness.simulate --seeds 0:200``
"""
