"""Decisions: what a grant is and whether an effect may happen under it.

Pure. Every door asks here and nowhere else; an exception in here is a denial at the door.
"""
