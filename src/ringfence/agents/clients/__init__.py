"""The command-line agents we can run, one small module for each."""
