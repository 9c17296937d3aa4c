"""How an agent is driven: a script on pipes, a command-line program on a terminal.

Edge. It contains no rule about who may do what.
"""
