"""The kernel sets: how each instruction set wants a matrix to lie in memory."""
