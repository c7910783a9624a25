"""The processes that score submissions and inspect competitions."""

import os

# Before anything imports numpy: a work-horse computes on one thread, since several share the machine.
for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ARROW_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")
