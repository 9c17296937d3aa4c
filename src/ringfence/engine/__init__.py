"""A run as an automaton: events in, commands out; and the ports it is carried out through.

Pure. It never performs a command itself.
"""
