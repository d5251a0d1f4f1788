"""Bundled models in Hugging Face layout."""
