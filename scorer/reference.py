"""Write the reference pages that come from the code.

`python -m scorer.reference docs/reference`
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from pydantic.fields import FieldInfo

from scorer.challenges.modifiers import Modifiers
from scorer.leakage.audit import all_checks
from scorer.metrics import METRICS
from scorer.metrics.registry import Metric

SUBMISSION_CODES: Mapping[str, str] = MappingProxyType(
    {
        "TOO_LARGE": "The file, or what it unpacks to, is larger than the challenge allows.",
        "NOT_CSV": "The content is a workbook, JSON, a web page, a damaged or a nested archive.",
        "SEVERAL_FILES": "The zip holds more than one file.",
        "OVERPACKED": "The packed file has far more bytes, or members, than its content needs.",
        "EMPTY_FILE": "There is nothing in the file.",
        "ENCODING": "A byte is not UTF-8, or the file is UTF-16 or holds NUL bytes.",
        "LINE_TOO_LONG": "One line is longer than 1 MB.",
        "UNCLOSED_QUOTE": "A quoted value starts and never ends.",
        "BAD_QUOTE": "Text follows a closing quote, or quotes are around a whole line.",
        "NO_HEADER": "The first line is data, a comment or blank instead of the column names.",
        "SEPARATOR": "Columns are separated by semicolons, tabs, bars or spaces.",
        "COLUMN_NAME": "A required column is missing or spelt otherwise.",
        "EXTRA_COLUMN": "There are columns that the challenge does not define.",
        "INDEX_COLUMN": "The first column has no name: the index of pandas, the row names of R.",
        "DUPLICATE_COLUMN": "A column name appears twice.",
        "FIELD_COUNT": "A line has more or fewer values than the header.",
        "EMPTY_ROWS": "There are more empty rows than a worksheet has.",
        "REPEATED_HEADER": "The header appears again further down.",
        "DUPLICATE_IDS": "An id appears more than once.",
        "UNKNOWN_IDS": "An id is not in the test set.",
        "MISSING_IDS": "A required id does not appear.",
        "ID_FORMAT": "Ids are the right ones spelt otherwise: 1.0 for 1, IMG_1.jpg for img_1, 1.23457E+15.",
        "EMPTY_VALUE": "A cell is empty.",
        "NOT_A_NUMBER": "A cell does not hold a number in plain ASCII digits with a decimal point.",
        "NOT_FINITE": "A cell holds nan or inf, or a number too large for 64 bits.",
        "NOT_WHOLE": "A cell holds a fraction where a whole number is asked for.",
        "OUT_OF_RANGE": "A number is outside what the metric allows, such as a probability of 1.2.",
        "BAD_FORM": "A cell does not follow the form asked for, such as run lengths, boxes or lists.",
        "UNKNOWN_LABELS": "Almost none of a file's labels is known, or they are probabilities.",
        "NOT_AN_ORDERING": "A list is not an order of exactly the items of its row.",
        "NOT_A_BOX": "A box ends before it starts.",
        "OUTSIDE_IMAGE": "A mask reaches beyond its image.",
        "VALUE_TOO_LARGE": "A number, or the score computed from it, is too large.",
        "ROW_SUM": "The probabilities of a row are all 0, or do not sum to 1 where they must.",
        "METRIC_REFUSED": "The organiser's own metric refused the file, in its own words.",
    }
)

NOTICE_CODES: Mapping[str, str] = MappingProxyType(
    {
        "NOTICE_DECOMPRESSED": "The file was unpacked.",
        "NOTICE_HEADER_SPACES": "Spaces around column names were ignored.",
        "NOTICE_UNICODE_FORM": "Text in another Unicode form, as macOS writes it, was read in NFC.",
        "NOTICE_LINE_BREAKS": "Line breaks inside texts, as Windows writes them, were read as \\n.",
        "NOTICE_COLUMN_ORDER": "Columns were matched by name.",
        "NOTICE_ID_SPACES": "Spaces around ids were ignored.",
        "NOTICE_EMPTY_ROWS": "Empty rows were ignored.",
        "NOTICE_CONSTANT": "All predictions are equal.",
        "NOTICE_HARD_LABELS": "All predictions are 0 or 1 although the metric rewards probabilities.",
        "NOTICE_LABEL_SPELLING": "Labels were read as the same value, such as True as 1.",
        "NOTICE_UNKNOWN_LABELS": "Some labels are not known, so they are wrong in every row.",
        "NOTICE_RENORMALISED": "Rows of probabilities were divided by their sum.",
        "NOTICE_NO_IMPROVEMENT": "On the ladder: not significantly better than the team's best file so far; "
        "that file's score is shown.",
        "NOTICE_WORSE_THAN_SHOWN": "The public score is worse than the worst one that is shown, "
        "which stands for it.",
        "NOTICE_FEW_VALUES": "The predictions take very few distinct values.",
        "NOTICE_SAME_PREDICTIONS": "An earlier file of the team holds the same predictions.",
        "NOTICE_LOOKS_PERMUTED": "The predictions look like an earlier file's in another order of rows.",
        "NOTICE_LOOKS_INVERTED": "The predictions run against the team's earlier files.",
    }
)

CHALLENGE_CODES: Mapping[str, str] = MappingProxyType(
    {
        "FILE_MISSING": "A file the challenge needs or names is not there.",
        "FOLDER_NOT_EMPTY": "A new challenge is only written into an empty folder.",
        "FOLDER_CHANGED": "A file changed while the folder was copied for publishing; publish it again.",
        "OUTSIDE_FOLDER": "A link or a name leads out of the challenge's folder.",
        "YAML_SYNTAX": "challenge.yaml is not YAML, or uses anchors, aliases or deep nesting.",
        "DUPLICATE_KEY": "A key appears twice.",
        "UNKNOWN_KEY": "A key is not known; probably misspelt.",
        "MISSING_KEY": "A required key is missing.",
        "WRONG_TYPE": "A value is of another type than asked for.",
        "BAD_VALUE": "A value is of the right type and still impossible.",
        "UNKNOWN_METRIC": "There is no metric of that name.",
        "BAD_METRIC_PARAM": "A metric's parameter is unknown, missing, out of range or unfit for columns.",
        "BAD_METRIC_FILE": "The organiser's own metric.py cannot be used; the message says why.",
        "METRIC_FAILED": "The organiser's own metric gave no finite number for an acceptable file.",
        "SANDBOX_TOO_WEAK": "This machine cannot isolate an organiser's own metric well enough to run it.",
        "BAD_ALSO": "A metric under `also` does not fit the predictions or the truth, or is listed twice.",
        "MISSING_COLUMN": "The solution lacks the id, a target column or Usage.",
        "SAME_LABEL": "Two labels or list items differ in their Unicode form only.",
        "BAD_ID": "An id in the solution is empty or has a control character.",
        "BAD_USAGE": "Usage is something other than Public, Private or Ignored.",
        "NO_ROWS": "The solution has no rows.",
        "EMPTY_SPLIT": "No row is Public, or none is Private.",
        "UNKNOWN_CLASS": "A true class has no prediction column, or a word no number in truth_values.",
        "TEST_WITHOUT_TRUTH": "The test table has ids that the solution lacks; declare decoys as Ignored.",
        "CLASS_NOT_IN_SPLIT": "A class has rows in one split only.",
        "METRIC_UNDEFINED": "The metric has no value on a split, column or group: AUC with one class.",
        "EXAMPLE_DIFFERS": "An example did not have the expected outcome.",
        "SAMPLE_IS_PERFECT": "The sample submission scores as well as the truth.",
        "TRUTH_NOT_BEST": "The truth, sent in as a submission, does not have the best score.",
        "ORDER_MATTERS": "The order of rows or columns changes a score.",
        "NOT_REPRODUCIBLE": "Scoring one file twice gave two results.",
        "MISTAKE_ACCEPTED": "A file with a hole, a word or a missing id was accepted.",
        "NOTICE_NO_TITLE": "There is no title.",
        "NOTICE_NO_SUMMARY": "There is no summary.",
        "NOTICE_NO_DESCRIPTION": "There is no description.md.",
        "NOTICE_NO_SOURCE": "Nothing says where the data come from.",
        "NOTICE_NO_EXAMPLES": "There is no example with a known score.",
        "NOTICE_NO_BASELINES": "No baseline will be on the board.",
        "NOTICE_BASELINES": "Which scripts publishing runs, and how well this machine isolates them.",
        "NOTICE_UNUSED_EXAMPLE": "A file in examples/ is not listed.",
        "NOTICE_ISOLATION": "How well this machine isolates the organiser's own metric.",
        "NOTICE_FLAG_COLUMN": "An own metric's truth is True and False, and so must each prediction be.",
        "NOTICE_TEXT_COLUMN": "An own metric's truth has words among numbers, so it is unchecked text.",
        "NOTICE_UNCHECKED_COLUMN": "An own metric's column takes any text; the sample may change that.",
        "NOTICE_UNKNOWN_NUMBER": "An own metric's truth has NA or the like, which is read as unknown.",
        "NOTICE_ODD_LABELS": "A label or item of the truth holds a bracket, a quote or a separator.",
        "NOTICE_SIMILAR_LABELS": "Two labels of the truth differ in spelling only, such as Cat and cat.",
        "NOTICE_SAMPLE_LABELS": "A label of the sample submission is none of the challenge's.",
        "NOTICE_TRUTH_NOT_BEST": "The truth itself cannot reach the best score: some true lists are empty.",
        "NOTICE_LEFT_OUT": "Columns or groups without a value are left out, as undefined: skip states.",
        "NOTICE_SMALL_LIMIT": "The stated limit is below an ordinary file, with every digit of every number.",
        "NOTICE_CLASS_NOT_IN_SPLIT": "A class has rows in one split only, which this metric permits.",
    }
)


def _paragraph(text: str) -> list[str]:
    return textwrap.wrap(text, 110, break_on_hyphens=False)


def metrics_page() -> str:
    """docs/reference/metrics.md."""
    lines = [
        "# Metrics",
        "",
        *_paragraph(
            "Written from the code by `python -m scorer.reference docs/reference`; edit the metric, not "
            "this page."
        ),
        "",
        *_paragraph(
            "A metric is chosen in `challenge.yaml`, alone (`metric: log_loss`) or with parameters and "
            "[modifiers](#modifiers) (`metric: {name: f1, average: macro}`). Its name, version and "
            "parameters are stored with every score. Every number is read as a 64-bit float from plain "
            "ASCII digits; a score is always finite. A metric marked + is a sum over rows: it is summed "
            "exactly, so that neither the order of the rows nor the size of the file can change a digit, "
            "and files of any size are scored in little memory."
        ),
        "",
        "| name | is | better | range | a cell holds |",
        "|---|---|---|---|---|",
    ]
    for metric in _sorted():
        better = "higher" if metric.greater_is_better else "lower"
        mark = " +" if metric.decomposable else ""
        lines.append(
            f"| [{metric.name}](#{metric.name}){mark} | {metric.title} | {better} "
            f"| {_range(metric)} | {_cell(metric)} |"
        )
    lines += [
        "",
        "## Modifiers",
        "",
        *_paragraph(
            "They stand beside a metric's own parameters and work the same for all. From the inside out: "
            "the score of each group and column, raised to the floor, transformed, combined over columns, "
            "then over groups."
        ),
        "",
        "| modifier | default | means |",
        "|---|---|---|",
        *_parameters(Modifiers.model_fields.items(), ()),
        "",
        *_paragraph(
            "Rows with `Usage` Ignored must be predicted and are not scored. Several metrics are summed "
            "with `combine`:"
        ),
        "",
        "    metric:",
        "      combine:",
        "        - {name: mae, targets: [price], coefficient: 0.5}",
        "        - {name: roc_auc, targets: [sold], transform: 1-x, coefficient: 0.5}",
    ]
    for metric in _sorted():
        lines += ["", f"## {metric.name}", "", metric.help, "", metric.convention, ""]
        best, worst = (_bound(bound) for bound in (metric.best, metric.worst))
        words = (
            f"Version {metric.version}; predicts: {metric.kind}; best {best}, worst {worst}; "
            f"a cell holds {_cell(metric)}."
        )
        if not metric.takes_weights:
            words += " Takes no `weight`."
        lines.append(words)
        for role, what in {**metric.truth_roles, **metric.side_roles}.items():
            optional = " (may be absent)" if what.optional else ""
            lines.append(f"The solution has a column `{role}` with {what.help}{optional}.")
        fields = metric.parameters.model_fields
        if fields:
            lines += ["", "| parameter | default | means |", "|---|---|---|"]
            lines += _parameters(fields.items(), metric.required)
    return "\n".join(lines) + "\n"


def _sorted() -> list[Metric]:
    return [METRICS[name] for name in sorted(METRICS)]


def _parameters(fields: Iterable[tuple[str, FieldInfo]], required: Sequence[str]) -> list[str]:
    return [
        f"| `{name}` | {'required' if name in required else f'`{field.default}`'} | {field.description} |"
        for name, field in fields
    ]


def problems_page() -> str:
    """docs/reference/problems.md."""
    lines = [
        "# Problem codes",
        "",
        *_paragraph("Written from the code by `python -m scorer.reference docs/reference`."),
        "",
        *_paragraph(
            "A refused file comes with every problem found: a code from this page, a message, and where "
            "known the line (the header is line 1), the id, the column and the received text. Codes do "
            "not change; messages may."
        ),
    ]
    for title, codes in (
        ("Submissions that are refused", SUBMISSION_CODES),
        ("Notices about accepted submissions", NOTICE_CODES),
        ("Challenges", CHALLENGE_CODES),
    ):
        lines += ["", f"## {title}", "", "| code | means |", "|---|---|"]
        lines += [f"| `{code}` | {meaning} |" for code, meaning in codes.items()]
    return "\n".join(lines) + "\n"


def findings_page() -> str:
    """docs/reference/findings.md."""
    lines = [
        "# Findings",
        "",
        *_paragraph(
            "Written from the code by `python -m scorer.reference docs/reference`; edit the check, not "
            "this page."
        ),
        "",
        *_paragraph(
            "What the audit of a challenge looks for before it is published. A finding has a severity "
            "(block, warn or info), a scope, the evidence in words and numbers, what to do, and where it "
            "is a test the effect and the corrected p. A check that can block keeps a challenge from "
            "being published unless the organiser gives a reason, which stays in the log. What could not "
            "be checked is a finding too, `not_checked`, with why; it blocks where no label of an own metric "
            "could be judged."
        ),
        "",
        "| code | looks at | looks for | can block | version | cost |",
        "|---|---|---|---|---|---|",
    ]
    for code, checks in all_checks().items():
        titles = "; ".join(dict.fromkeys(check.title for check in checks))
        scopes = ", ".join(dict.fromkeys(check.scope for check in checks))
        costs = "; ".join(dict.fromkeys(check.cost for check in checks))
        blocks = "yes" if any(check.blocks for check in checks) else "no"
        lines.append(
            f"| `{code}` | {scopes} | {titles} | {blocks} "
            f"| {max(check.version for check in checks)} | {costs} |"
        )
    return "\n".join(lines) + "\n"


PAGES = MappingProxyType(
    {"metrics.md": metrics_page, "problems.md": problems_page, "findings.md": findings_page}
)


def _range(metric: Metric) -> str:
    low, high = (_bound(bound) for bound in metric.bounds)
    return f"{low} to {high}"


def _bound(bound: float) -> str:
    return ("-" if bound < 0 else "") + "∞" if abs(bound) == float("inf") else f"{bound:g}"


def _cell(metric: Metric) -> str:
    return metric.predicted_cells(metric.parameters()).words


def main(folder: str) -> None:
    for name, page in PAGES.items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
