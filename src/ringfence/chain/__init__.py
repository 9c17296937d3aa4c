"""Chain files: the words of the product, parsed from hostile bytes with line and column.

Pure. Owns the vocabulary every other room uses. Knows nothing of grants, boxes or stores.
"""
