"""`heldout challenge from-table`: one labelled table in, a challenge or an open competition out."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.progress import Progress

import scorer
from app.authoring import baselines, publishing
from app.authoring.baselines import BaselineFile
from app.base import config
from app.base.errors import Refused
from app.base.installation import Installation
from app.cli.challenges import override_reasons, print_findings
from app.cli.console import err, out, print_json, print_problems
from scorer.wording import printable

if TYPE_CHECKING:
    from scorer.authoring.building import Built
    from scorer.authoring.columns import Profile
    from scorer.authoring.mends import Mend
    from scorer.authoring.proposal import Proposed
    from scorer.authoring.table import Table
    from scorer.authoring.trial import Spread, Trial


@click.command("from-table")
@click.argument("tables", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--target", metavar="COLUMN", help="The column to predict. Without it a terminal asks.")
@click.option(
    "--id", "id_column", metavar="COLUMN", help="The column that names the rows; new ids replace it."
)
@click.option("--time", metavar="COLUMN", help="Split in time: the last rows are the test.")
@click.option("--group", metavar="COLUMN", help="Keep all rows of one value of this column on one side.")
@click.option("--stratified", is_flag=True, help="Split at random with the same share of each class.")
@click.option("--random", "at_random", is_flag=True, help="Split at random.")
@click.option(
    "--test",
    "test_share",
    type=click.FloatRange(0.01, 0.95),
    default=0.3,
    show_default=True,
    help="Share of the rows that is the test.",
)
@click.option(
    "--public",
    "public_share",
    type=click.FloatRange(0.01, 0.95),
    default=0.3,
    show_default=True,
    help="Share of the test rows that counts for the public board.",
)
@click.option("--metric", metavar="NAME", help="Default: proposed from the target.")
@click.option(
    "--predict", type=click.Choice(["probabilities", "labels", "numbers"]), help="What is predicted."
)
@click.option("--drop", multiple=True, metavar="COLUMN", help="Leave a column out. May be repeated.")
@click.option("--without-duplicates", is_flag=True, help="Give equal rows once.")
@click.option("--without-rare", is_flag=True, help="Leave out classes with too few rows for every part.")
@click.option("--mend", is_flag=True, help="Make every change that the audit proposes.")
@click.option(
    "--override",
    "overrides",
    multiple=True,
    metavar="CODE=REASON",
    help="Write it although the finding CODE blocks; with --open the reason is kept in the log.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    help="Of all draws, and secret: with the table it gives the split away. Default: drawn.",
)
@click.option("--title", help="Default: from the name of the table.")
@click.option("--slug", help="Of the folder and the address. Default: from the title.")
@click.option(
    "--out", "folder", type=click.Path(path_type=Path), help="The folder to write. Default: the slug."
)
@click.option("--no-baselines", is_flag=True, help="Do not train the baselines.")
@click.option("--open", "opens", is_flag=True, help="Publish it and open a competition.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.pass_context
def from_table(
    context: click.Context,
    tables: Sequence[Path],
    target: str | None,
    id_column: str | None,
    time: str | None,
    group: str | None,
    stratified: bool,
    at_random: bool,
    test_share: float,
    public_share: float,
    metric: str | None,
    predict: Any,
    drop: Sequence[str],
    without_duplicates: bool,
    without_rare: bool,
    mend: bool,
    overrides: Sequence[str],
    seed: int | None,
    title: str | None,
    slug: str | None,
    folder: Path | None,
    no_baselines: bool,
    opens: bool,
    as_json: bool,
) -> int:
    """Make a challenge from one labelled table.

    Reads CSV, TSV, Excel or Parquet; several tables with the same columns are one. Proposes the split and the
    metric with their reasons, writes every file, audits the data, trains baselines and prints their scores.
    A folder with a blocking finding is not written, unless it is accepted with a reason (--override).
    """
    from scorer.authoring.building import build, build_mended, refuse_occupied
    from scorer.authoring.columns import profile
    from scorer.authoring.proposal import Wishes, propose
    from scorer.authoring.table import Unusable, read_tables

    chosen = {"--time": time, "--group": group, "--stratified": stratified, "--random": at_random}
    ways = [option for option, value in chosen.items() if value]
    if len(ways) > 1:
        raise click.UsageError(f"{' and '.join(ways)} exclude each other: a table is split in one way.")
    reasons = override_reasons(overrides)
    publishing.refuse_short(reasons)
    installation: Installation = context.obj
    if opens:
        installation.database.ping()  # refuse a wrong database before the long work
    strategy: Any = "stratified" if stratified else "random" if at_random else None
    wishes = Wishes(
        id=id_column,
        strategy=strategy,
        time=time,
        group=group,
        predicted=predict,
        metric=metric,
        test_share=test_share,
        public_share=public_share,
        drop=drop,
        without_duplicates=without_duplicates,
        without_rare=without_rare,
        title=title,
        slug=slug,
    )
    weak = config.load().allow_weak_sandbox
    try:
        table = read_tables(tables)
        described = profile(table.frame)
        if target is None:
            target = _asked_target(described, ask=not as_json and sys.stdin.isatty())
        drawn = secrets.randbits(63) if seed is None else seed
        proposed = propose(table, described, target, wishes, seed=drawn)
        folder = folder or Path(proposed.choices.slug)
        refuse_occupied(folder)
        with err.status("") as status:
            make = partial(
                build_mended if mend else build,
                table,
                described,
                proposed.target,
                proposed.choices,
                folder,
                accepted=reasons.keys(),
                allow_weak_sandbox=weak,
                progress=status.update if err.is_terminal else None,
            )
            made = make()
    except Unusable as reason:
        raise Refused(str(reason)) from None
    built, mended = made if isinstance(made, tuple) else (made, ())
    answer = _Answer(folder, table, described, proposed, built, mended, reasons)
    if not as_json:
        _print_made(answer)
    if not built.is_made:
        return _blocked(answer, as_json=as_json)
    challenge = scorer.load(folder)
    answer.judge(challenge, [] if no_baselines else _trained(challenge, installation, quiet=as_json))
    if not as_json:
        _print_trials(challenge, answer)
    if opens:
        answer.open(installation, challenge)
    if as_json:
        print_json(answer.as_dict())
    elif answer.published is None:
        again = "".join(f' --override {code}="…"' for code in built.accepted)
        out.print(f"Wrote {folder}. Next: heldout challenge publish {folder}{again}", markup=False)
    for address in () if answer.published is None or as_json else answer.published.competitions:
        out.print(f"Wrote {folder}; open at /competitions/{address}", markup=False)
    return 0


@dataclass
class _Answer:
    """What the command has made so far."""

    folder: Path
    table: Table
    described: Profile
    proposed: Proposed
    built: Built
    mended: Sequence[Mend]
    reasons: Mapping[str, str]
    """Of accepted findings, by code."""
    files: Sequence[BaselineFile] = ()
    trials: Sequence[Trial] = ()
    spread: Spread | None = None
    published: publishing.Publication | None = None

    def judge(self, challenge: scorer.Challenge, files: Sequence[BaselineFile]) -> None:
        from scorer.authoring.trial import spread, trial

        self.files = files
        contents = [(file.name, file.content) for file in files]
        self.trials = trial(challenge, contents)
        self.spread = spread(challenge, self.trials, contents)

    def open(self, installation: Installation, challenge: scorer.Challenge) -> None:
        self.published = publishing.publish(
            installation, challenge, actor="command line", checked=self.built.result, overrides=self.accepted
        )
        publishing.post_baselines(installation, challenge, self.published.competitions, files=self.files)

    @property
    def accepted(self) -> dict[str, str]:
        """Return the reasons for the blocking findings that were accepted."""
        return {code: self.reasons[code] for code in self.built.accepted}

    @property
    def understood(self) -> list[str]:
        """Return what was understood of the columns, in sentences."""
        from scorer.authoring.columns import understood

        return understood(self.table.frame, self.described, self.proposed.target.name)

    def as_dict(self) -> dict[str, Any]:
        written = self.built.written
        choices = self.built.choices.model_dump()
        del choices["seed"]  # it lies in the folder; a log of this output must not hold it
        return {
            "folder": str(self.folder) if self.built.is_made else None,
            "notes": [*self.table.notes, *self.understood],
            "choices": choices,
            "reasons": self.proposed.reasons,
            "rows": {"train": written.n_train, "public": written.n_public, "private": written.n_private},
            "mended": [mend.words for mend in self.mended],
            "problems": [problem.as_dict() for problem in self.built.result.problems],
            "findings": [finding.as_dict() for finding in self.built.result.findings],
            "accepted": self.accepted,
            "mends": [{"code": m.code, "words": m.words, "option": m.option} for m in self.built.mends],
            "baselines": [asdict(one) for one in self.trials],
            "spread": None if self.spread is None else asdict(self.spread) | {"words": self.spread.words},
            "published": None if self.published is None else asdict(self.published),
        }


def _asked_target(described: Profile, *, ask: bool) -> str:
    from scorer.authoring.columns import guess_target
    from scorer.authoring.table import Unusable

    guess = guess_target(described)
    names = [column.name for column in described.columns]
    if ask:
        return str(click.prompt("Which column is to be predicted?", default=guess.column, err=True))
    listed = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    hint = f' A guess: --target "{guess.column}" ({guess.reason}).' if guess.column else ""
    raise Unusable(f"State the column to predict with --target COLUMN; the table has {listed}.{hint}")


def _trained(challenge: scorer.Challenge, installation: Installation, *, quiet: bool) -> list[BaselineFile]:
    """Run the baselines, in the order of their scripts."""
    order = [baseline.name for baseline in challenge.baselines]
    with Progress(console=err, transient=True, disable=quiet or not err.is_terminal) as progress:
        bar = progress.add_task("Training baselines", total=len(order))
        files = []
        for made in baselines.run(challenge, installation.settings):
            files.append(made)
            progress.advance(bar)
    return sorted(files, key=lambda file: order.index(file.name))


def _print_made(answer: _Answer) -> None:
    built, reasons, first = answer.built, answer.proposed.reasons, answer.proposed.choices
    choices, written = built.choices, built.written
    frame = answer.table.frame
    out.print(f"table    {len(frame):,} rows, {len(frame.names):,} columns", markup=False)
    for note in answer.table.notes:
        out.print(f"         {note}", markup=False)
    kind = "numbers" if choices.predicted == "numbers" else f"{len(answer.proposed.target.classes)} classes"
    out.print(f"target   {choices.target}: {kind}, predicted as {choices.predicted}", markup=False)
    for line in answer.understood:
        out.print(f"         {line}", markup=False)
    by = choices.time or choices.group
    counts = f"{written.n_train:,} train, {written.n_public:,} public, {written.n_private:,} private rows"
    out.print(f"split    {choices.strategy}{f' by {by}' if by else ''}: {counts}", markup=False)
    if (choices.strategy, choices.time, choices.group) == (first.strategy, first.time, first.group):
        out.print(f"         {reasons['split']}", markup=False)
    out.print(f"metric   {choices.metric}: {reasons['metric']}", markup=False)
    if written.left_out:
        out.print(f"left out {', '.join(written.left_out)}", markup=False)
    for mend in answer.mended:
        out.print(f"mended   {mend.words} ({mend.code})", markup=False)
    telling = [finding for finding in built.result.findings if finding.severity != "info"]
    print_findings(telling)
    if quiet := len(built.result.findings) - len(telling):
        out.print(f"audit    {quiet} more for information; heldout challenge check shows them", markup=False)
    for code, reason in answer.accepted.items():
        out.print(f"accepted {code}: {printable(reason)}", markup=False)
    for code in sorted(set(answer.reasons) - set(built.accepted)):
        out.print(f"accepted nothing: no finding {printable(code)} blocks", markup=False)
    for mend in built.mends:
        out.print(f"mend with {mend.option}: {mend.words} ({mend.code})", markup=False)


def _blocked(answer: _Answer, *, as_json: bool) -> int:
    result = answer.built.result
    if as_json:
        print_json(answer.as_dict())
        return 2
    if result.problems:
        print_problems(result.problems)
    else:
        blockers = [finding for finding in result.blockers if finding.code not in answer.reasons]
        count = len(blockers)
        does = "findings reveal" if count != 1 else "finding reveals"
        way = "Repeat with the options above, or with --mend" if answer.built.mends else "Correct the table"
        way += f', or accept it with a reason: --override {blockers[0].code}="…".'
        err.print(f"{count} {does} the labels; nothing was written. {way}", markup=False)
    return 2


def _print_trials(challenge: scorer.Challenge, answer: _Answer) -> None:
    if not answer.trials:
        return
    width = max(len(one.name) for one in answer.trials)
    out.print(f"{challenge.task.name:{width}}      public     private", markup=False)
    for one in answer.trials:
        out.print(f"{one.name:{width}}  {one.public:10.5g}  {one.private:10.5g}", markup=False)
    if answer.spread is not None:
        out.print(answer.spread.words, markup=False)
