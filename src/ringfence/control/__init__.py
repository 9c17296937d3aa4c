"""What a person may ask for: runs, reviews, secrets; authorise, act, record.

Pure. It meets stores and boxes through Protocols only.
"""
