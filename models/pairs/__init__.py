"""Makes training data for chat models that answer commands with calls: a grammar of phrases, and conversations."""
