"""The emitted C against the reference, and perplexity."""
