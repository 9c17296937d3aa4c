"""The only way out of a box: the egress broker.

Edge. Decisions come from ``policy``; credentials from leases it was handed.
"""
