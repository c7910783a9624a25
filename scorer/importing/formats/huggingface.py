"""Hugging Face competitions: the private competition repository.

conf.json              EVAL_METRIC, EVAL_HIGHER_IS_BETTER, SUBMISSION_ID_COLUMN, SUBMISSION_COLUMNS, ...
solution.csv           id, truth, split = public | private
metric.py              compute(params), where EVAL_METRIC is custom
COMPETITION_DESC.md, DATASET_DESC.md, SUBMISSION_DESC.md
sample_submission.csv, train.csv, test.csv      of the public data set, where they are beside it
"""

from __future__ import annotations

import re
from typing import Any

from scorer.importing.account import Account, CannotImport, Incomplete
from scorer.importing.bundle import Bundle
from scorer.importing.foreign import Foreign, Wishes, limit_of
from scorer.importing.formats.kaggle import HIDDEN
from scorer.importing.forms import read_csv
from scorer.importing.own_code import composed_metric
from scorer.wording import show

NAME = "Hugging Face competition"
_PAGES = ("COMPETITION_DESC.md", "DATASET_DESC.md", "SUBMISSION_DESC.md")


def recognise(bundle: Bundle) -> str | None:
    name = _conf(bundle)
    return None if name is None else f"{name} has EVAL_METRIC"


def read(bundle: Bundle, account: Account, wishes: Wishes) -> Foreign:
    conf_name = _conf(bundle)
    assert conf_name is not None
    conf = bundle.json(conf_name)
    home = conf_name.rpartition("/")[0]
    if str(conf.get("COMPETITION_TYPE", "generic")) == "script":
        account.cannot.append("Submissions of code (COMPETITION_TYPE script): participants send predictions.")
    solution = _beside(bundle, home, "solution.csv")
    metric_name = str(conf["EVAL_METRIC"])
    program = {}
    if metric_name == "custom":
        name = _beside(bundle, home, "metric.py")
        if name is None:
            account.asked.append("EVAL_METRIC is custom, and metric.py is missing.")
        else:
            program["metric.py"] = bundle.text(name)
    if solution is None:
        account.asked.append("solution.csv is missing: id, the true values and split (public or private).")
    if account.asked:
        raise Incomplete(account)
    assert solution is not None
    truth = read_csv(bundle, solution)
    if "split" not in truth:
        raise CannotImport(f"{show(solution)} has no column split.", account)
    usage = [cell.strip().capitalize() for cell in truth.pop("split")]
    unknown = sorted(set(usage) - {"Public", "Private"})
    if unknown:
        raise CannotImport(
            f"{show(solution)}: split is {show(unknown[0])!r}, not public or private.", account
        )
    account.taken.append(f"{solution}: {len(usage):,} rows with their split.")
    id_column = str(conf.get("SUBMISSION_ID_COLUMN") or "id")
    if id_column not in truth:
        raise CannotImport(f"{show(solution)} has no column {show(id_column)}.", account)
    samples = bundle.find(r"(.*/)?[^/]*sample[^/]*\.csv")
    sample = read_csv(bundle, samples[0]) if samples and wishes.sample is None else None
    given = conf.get("SUBMISSION_COLUMNS") or ""
    listed = given if isinstance(given, list) else str(given).split(",")
    stated = [name for each in listed if (name := str(each).strip())]
    columns = [name for name in stated or list(sample or truth) if name != id_column]
    settings: dict[str, Any] = {"metric": metric_name, "submission_columns": [id_column, *columns]}
    settings["key"] = conf.get("SCORING_METRIC") if metric_name == "custom" else None
    if metric_name != "custom" and not re.fullmatch(r"\w{1,100}", metric_name, re.ASCII):
        raise CannotImport(f"EVAL_METRIC {show(metric_name)} is no function of scikit-learn.", account)
    title = str(conf.get("COMPETITION_NAME") or "Competition")
    foreign = Foreign(
        title,
        id_column,
        truth,
        columns,
        sample,
        usage,
        description=_pages(bundle, home),
        metric=composed_metric("huggingface", program, settings, title=f"The metric of {title}."),
        names=[metric_name],
        code=[*program.values(), f"{metric_name}()"],
        greater_is_better=_flag(conf.get("EVAL_HIGHER_IS_BETTER")),
        competition=_limits(conf, account),
    )
    for name in bundle.names:
        match = re.fullmatch(r"(?:.*/)?((?:train|test)[^/]*)", name, re.IGNORECASE)
        if match is None or match[1] in foreign.public:
            continue
        if re.fullmatch(HIDDEN, name, re.IGNORECASE):
            account.cannot.append(f"{show(name)} may hold answers and was left out of public/.")
        else:
            foreign.public = {**foreign.public, match[1]: bundle.path(name)}
    if foreign.public:
        account.taken.append(f"For download: {', '.join(map(show, foreign.public))}.")
    else:
        account.cannot.append(
            f"The public data set {show(str(conf.get('DATASET') or ''))} is elsewhere: put its files "
            "into public/."
        )
    if conf.get("END_DATE"):
        account.cannot.append(
            f"END_DATE {show(str(conf['END_DATE']))}: set dates when you open the competition."
        )
    people = bundle.find(r"(.*/)?(teams|user_team)\.json|(.*/)?submission(s|_info)/.*")
    if people:
        account.cannot.append(f"{len(people):,} files of teams and submissions.")
    return foreign


def _conf(bundle: Bundle) -> str | None:
    for name in bundle.find(r"(.*/)?conf\.json")[:20]:
        content = bundle.json(name)
        if isinstance(content, dict) and "EVAL_METRIC" in content:
            return name
    return None


def _beside(bundle: Bundle, home: str, name: str) -> str | None:
    path = f"{home}/{name}".lstrip("/")
    return path if path in bundle else None


def _pages(bundle: Bundle, home: str) -> str:
    paths = [path for name in _PAGES if (path := _beside(bundle, home, name))]
    return "\n\n".join(bundle.text(path).strip() for path in paths)


def _flag(value: Any) -> bool | None:
    return None if value is None else str(value).lower() in ("1", "true")


def _limits(conf: dict[str, Any], account: Account) -> dict[str, Any]:
    limits = {}
    for theirs, ours in (("SUBMISSION_LIMIT", "daily_limit"), ("SELECTION_LIMIT", "final_picks")):
        if (limit := limit_of(conf.get(theirs), 100)) is not None:
            limits[ours] = limit
    if limits:
        account.taken.append(
            "conf.json: " + ", ".join(f"{name} {value}" for name, value in limits.items()) + "."
        )
    return limits
