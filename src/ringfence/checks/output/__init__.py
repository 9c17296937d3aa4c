"""Checks of what an agent put out: known secrets, credential kinds, schema."""
