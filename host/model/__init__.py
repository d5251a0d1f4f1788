"""The model that a user names: loading it, and reporting what it is."""
