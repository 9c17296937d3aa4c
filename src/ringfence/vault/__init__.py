"""Secrets at rest and on loan: envelope, keyset, placeholders, leases.

Pure but for one thing: public ``seal`` draws its own nonce.
"""
