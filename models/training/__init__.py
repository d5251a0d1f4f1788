"""Training of small models: what `tinyllm train` does, and the recipe of the bundled model. Needs torch, an extra."""
