"""Trains small models: the work of `tinyllm train`, and the bundled model's recipe. Needs torch, an optional extra."""
