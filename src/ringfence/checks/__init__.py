"""Checks of outputs and of configuration: findings, scrubbing, schemas.

Pure. A check reports; whoever asked decides what follows from the finding.
"""
