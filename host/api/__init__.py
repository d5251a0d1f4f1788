"""What `import tinyllm` gives: boards to talk to, and models to load, prove and build. docs/python.md shows its use."""
