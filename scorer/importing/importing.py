"""Recognise a bundle's format and make a challenge's folder of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

from scorer.importing.account import Account, CannotImport
from scorer.importing.assembling import Imported, assemble
from scorer.importing.bundle import Bundle, opened
from scorer.importing.foreign import Foreign, Format, Wishes
from scorer.importing.formats import codabench, evalai, huggingface, kaggle, mlebench, openml, ramp
from scorer.importing.forms import Columns, read_csv
from scorer.wording import show

FORMATS = cast(tuple[Format, ...], (codabench, evalai, mlebench, huggingface, ramp, openml, kaggle))
"""The most telling ones first."""


def import_challenge(
    path: Path,
    folder: Path | None,
    wishes: Wishes | None = None,
    *,
    allow_weak_sandbox: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Imported:
    """Write the challenge that a bundle holds to `folder`, by default one named after it.

    Raises CannotImport, or Incomplete with what is missing; then nothing is written.
    """
    wishes = wishes or Wishes()
    with opened(path) as bundle:
        form, account = recognised(bundle)
        try:
            foreign = form.read(bundle, account, wishes)
            if wishes.sample is not None and not foreign.takes_sample:
                foreign = replace(foreign, sample=_given_sample(wishes.sample, foreign, account))
            if wishes.greater_is_better is not None:
                foreign = replace(foreign, greater_is_better=wishes.greater_is_better)
            account.cannot += bundle.left
            folder = folder or Path(slug_of(foreign.slug or foreign.title))
            return assemble(
                foreign, account, folder, wishes, allow_weak_sandbox=allow_weak_sandbox, progress=progress
            )
        except CannotImport as error:
            error.account = error.account or account
            raise


def recognised(bundle: Bundle) -> tuple[Format, Account]:
    """Return the format of a bundle and what shows it; raises CannotImport.

    A file that cannot be read is the reason only if no format is recognised: bundles hold a config.yaml of
    other programs too.
    """
    broken = None
    for form in FORMATS:
        try:
            because = form.recognise(bundle)
        except CannotImport as error:
            broken = broken or error
            continue
        if because is not None:
            return form, Account(form.NAME, because)
    if broken is not None:
        raise broken
    names = ", ".join(form.NAME for form in FORMATS)
    listed = ", ".join(map(show, bundle.names[:5])) or "no file"
    raise CannotImport(f"No known format was recognised ({names}). The bundle has {listed}.")


def slug_of(text: str) -> str:
    """Return a name for a folder and an address."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60].rstrip("-") or "challenge"


def _given_sample(path: Path, foreign: Foreign, account: Account) -> Columns:
    if not path.is_file():
        raise CannotImport(f"There is no file {path}.")
    sample = read_csv(Bundle(path.parent, path.parent, [path.name]), path.name)
    lacking = [name for name in (foreign.id, *foreign.columns) if name not in sample]
    if lacking:
        raise CannotImport(f"{path.name} has no column {show(lacking[0])}.")
    account.taken.append(f"{path.name}: the sample submission, as given.")
    return {name: sample[name] for name in (foreign.id, *foreign.columns)}
