"""The kernel sets: the layout of a matrix in memory for each instruction set."""
