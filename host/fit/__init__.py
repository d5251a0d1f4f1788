"""Does a model fit a board, how fast is it, how long does a battery last: told before anything is built."""
