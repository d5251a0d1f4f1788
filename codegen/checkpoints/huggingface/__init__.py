"""Checkpoints in Hugging Face folders: config.json with safetensors or PyTorch files."""
