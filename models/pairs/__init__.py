"""Training data of a chat model that answers commands with calls: a grammar of phrases, and conversations from it."""
