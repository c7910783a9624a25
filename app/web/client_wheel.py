"""Build the client's wheel from the files of this installation.

A wheel is a zip of the package and of a few lines about it, so that every installation can serve the client
of its own version without a build and without a network.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources

import heldout_client

NAME = f"heldout_client-{heldout_client.VERSION}-py3-none-any.whl"

METADATA = f"""\
Metadata-Version: 2.1
Name: heldout-client
Version: {heldout_client.VERSION}
Summary: Take part in a Heldout competition from a shell or a notebook.
License: Apache-2.0
Requires-Python: >=3.9
"""
WHEEL = """\
Wheel-Version: 1.0
Generator: heldout
Root-Is-Purelib: true
Tag: py3-none-any
"""
ENTRY_POINTS = """\
[console_scripts]
heldout = heldout_client.__main__:main
"""
_MADE_AT = (2020, 1, 1, 0, 0, 0)
"""Of every member, so that the same files make the same bytes."""


@dataclass(frozen=True)
class Wheel:
    data: bytes

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@cache
def wheel() -> Wheel:
    """Return the wheel of the client that is installed beside this server."""
    about = f"heldout_client-{heldout_client.VERSION}.dist-info"
    package = resources.files("heldout_client")
    names = sorted(file.name for file in package.iterdir() if file.name.endswith((".py", ".typed")))
    members = {f"heldout_client/{name}": (package / name).read_bytes() for name in names}
    for name, text in (("METADATA", METADATA), ("WHEEL", WHEEL), ("entry_points.txt", ENTRY_POINTS)):
        members[f"{about}/{name}"] = text.encode()
    record = "".join(f"{name},{_digest(data)},{len(data)}\n" for name, data in members.items())
    members[f"{about}/RECORD"] = f"{record}{about}/RECORD,,\n".encode()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            member = zipfile.ZipInfo(name, _MADE_AT)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = 0o100644 << 16
            archive.writestr(member, data)
    return Wheel(stream.getvalue())


def _digest(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest())
    return f"sha256={digest.rstrip(b'=').decode()}"
