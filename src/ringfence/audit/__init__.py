"""The record: entries, Merkle tree, signed checkpoints, verification.

Pure. Where the bytes lie is ``store``'s business.
"""
