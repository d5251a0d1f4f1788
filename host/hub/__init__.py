"""Checkpoints from the Hugging Face Hub: chosen, downloaded, checked and kept."""
