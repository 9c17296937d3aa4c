"""What lasts: databases, key files, the durable engine.

Edge. The state it reads back is untrusted input.
"""
