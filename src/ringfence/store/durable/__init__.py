"""Durable execution behind `ringfence.engine.durable`: one engine on DBOS, one twin in memory.

Only ``dbos_engine`` imports the vendor's package, and only the runner or a worker imports that.
"""
