"""The programs people start: command line, runner, broker daemon. Reads settings, wires rooms.

Edge. The only room that prints.
"""
