"""What a file that took the reader over could do: imported by the sandbox of a test, never by the tests."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from typing import Any, NoReturn


def threads(_file: Any, *_fds: int) -> NoReturn:
    """Start threads with the smallest stacks until no more are given, then wait."""
    libc = ctypes.CDLL(None)
    attributes = ctypes.create_string_buffer(64)
    libc.pthread_attr_init(attributes)
    libc.pthread_attr_setstacksize(attributes, ctypes.c_size_t(16384))
    pause = ctypes.cast(libc.pause, ctypes.c_void_p)
    thread = ctypes.c_ulong()
    while libc.pthread_create(ctypes.byref(thread), attributes, pause, None) == 0:
        pass
    print("no more threads", threading.get_native_id(), flush=True)
    os._exit(7)


def forks(_file: Any, *_fds: int) -> NoReturn:
    while True:
        if os.fork() == 0:
            time.sleep(60)
