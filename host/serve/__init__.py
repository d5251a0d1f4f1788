"""An HTTP server with OpenAI's API in front of one board. docs/serve.md shows its use."""
