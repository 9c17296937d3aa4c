"""One module per kind of credential: format, confirmation, samples."""
