"""Tests run one to a core, so each computes with one thread, as workers do.

Boosted trees fitted by two threads in two processes on two cores spend five times the CPU, most of it
on threads that wait for each other. Set before the libraries are loaded, which read it only then.
"""

import os

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")
