"""Checkpoint in, readable C out: readers, quantiser, reference and emitter."""

import os

# Our matrices are small: a second BLAS thread costs more than it gives, and far more on a busy machine. Set it before
# numpy is imported. A person's own setting wins.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
