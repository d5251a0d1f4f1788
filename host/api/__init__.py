"""The public Python API, `import tinyllm`: connect to boards; load, verify and build models. See docs/python.md."""
