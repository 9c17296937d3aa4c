"""Checks of what a person wrote: chain files."""
