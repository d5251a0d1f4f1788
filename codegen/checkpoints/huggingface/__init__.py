"""Checkpoints of Hugging Face folders: config.json, safetensors or PyTorch files."""
