"""The arithmetic: float model, quantiser, and the integer forward pass that specifies the C."""
