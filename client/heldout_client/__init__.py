"""Take part in a Heldout competition from a shell or a notebook.

    import heldout_client
    heldout_client.submit(predictions, "biopsy", message="first try")

`%load_ext heldout_client` adds `%submit` to a notebook. The package needs Python alone.
"""

from __future__ import annotations

from typing import Any

VERSION = "0.1.0"

__all__ = [
    "VERSION",
    "BadFile",
    "ClientError",
    "NotAllowed",
    "NotReachable",
    "Refusal",
    "check",
    "download",
    "join",
    "submit",
]


def __getattr__(name: str) -> Any:
    """Load the functions of a notebook at their first use, since a server only asks for the version."""
    if name in ("check", "download", "join", "submit"):
        from heldout_client import notebook

        return getattr(notebook, name)
    if name in __all__:
        from heldout_client import errors

        return getattr(errors, name)
    raise AttributeError(name)


def load_ipython_extension(ipython: Any) -> None:
    """Add the magic `%submit`; called by `%load_ext heldout_client`."""
    from heldout_client import notebook

    notebook.add_magics(ipython)
