"""Replays of real incidents: an agent that obeys every order, first without the guard, then with.

Everything happens on loopback with values made up for the occasion. A replay counts only after
the same attack has been seen to work on an unguarded run; see docs/rooms/replay.md.
"""
