"""Tests of loading a challenge's folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import scorer
from scorer.challenges import strategies
from scorer.reading.ids import IdIndex
from tests.scorer.conftest import IDS, TRUTH, USAGE, YAML, Write, csv_text


def refuse(folder: Path) -> scorer.InvalidChallenge:
    with pytest.raises(scorer.InvalidChallenge) as refusal:
        scorer.load(folder)
    return refusal.value


def test_a_minimal_challenge_loads(write: Write) -> None:
    folder = write("metric: log_loss\nsubmission: {columns: [target]}\n")
    shutil.rmtree(folder / "public")
    challenge = scorer.load(folder)
    assert (challenge.title, challenge.slug, challenge.id_column) == ("tiny", "tiny", "id")
    assert challenge.competition.daily_limit == 5
    assert challenge.max_bytes == 10_000_000


def test_every_key_of_the_yaml_is_read(write: Write) -> None:
    yaml = """\
format: 1
title: Full
summary: One line.
source: {name: A register, licence: 4.0, citation: "Doe, 1999"}
metric: {name: log_loss, rows: reject}
also: [roc_auc, mse]
submission: {id: id, columns: [target], max_bytes: 5000}
competition:
  daily_limit: 7
  timezone: Europe/Berlin
  opens_at: 2026-10-01T09:00:00+02:00
  closes_at: 2026-12-01T09:00:00Z
  max_upload_mb: 20
split: {strategy: stratified, public_fraction: 0.4, seed: 12}
examples:
  - {file: half.csv, public: 0.6931, private: 0.6931}
baselines:
  - {name: One half, script: half.py}
"""
    files = {
        "description.md": "# Hello",
        "examples/half.csv": csv_text(("id", "target"), IDS, ["0.5"] * 20),
        "baselines/half.py": '"""Half of it."""\n',
    }
    challenge = scorer.load(write(yaml, files=files))
    assert challenge.source is not None
    assert challenge.source.licence == "4.0"
    assert challenge.metric_params == {"eps": 1e-15, "rows": "reject"}
    assert challenge.also == ("roc_auc", "mse")
    assert challenge.max_bytes == 5000
    assert challenge.competition.opens_at == "2026-10-01T09:00:00+02:00"
    assert challenge.competition.closes_at == "2026-12-01T09:00:00+00:00"
    assert challenge.split.model_dump()["seed"] == 12
    assert [baseline.name for baseline in challenge.baselines] == ["One half"]
    assert challenge.description == "# Hello"
    assert not challenge.greater_is_better


def test_every_problem_of_the_yaml_is_reported_with_its_line(write: Write) -> None:
    yaml = """\
format: 1
titel: Tiny
metric: {name: log_los}
submission: {id: id, columns: target}
competition:
  daily_limit: many
  timezone: Mars/Olympus
  opens_at: 2026-10-01
examples:
  - {file: a.csv, refused: [x]}
"""
    refusal = refuse(write(yaml))
    assert [
        (problem.line, problem.code) for problem in sorted(refusal.problems, key=lambda p: p.line or 0)
    ] == [
        (2, "UNKNOWN_KEY"),
        (3, "UNKNOWN_METRIC"),
        (4, "WRONG_TYPE"),
        (6, "WRONG_TYPE"),
        (7, "BAD_VALUE"),
        (8, "BAD_VALUE"),
        (10, "WRONG_TYPE"),
    ]
    text = str(refusal)
    assert "did you mean title?" in text
    assert "did you mean log_loss?" in text
    assert all(problem.file == "challenge.yaml" for problem in refusal.problems)


@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        ("format: 1", "format: 2", "BAD_VALUE", "format"),
        ("metric: log_loss\n", "", "MISSING_KEY", "the key metric is missing"),
        ("metric: log_loss", "metric: {eps: 1}", "MISSING_KEY", "name one of accuracy"),
        ("metric: log_loss", "metric: {file: metric.py}", "MISSING_KEY", "must state greater_is_better"),
        ("metric: log_loss", "metric: {name: log_loss, eps: 2}", "BAD_METRIC_PARAM", "less than 0.1"),
        (
            "metric: log_loss",
            "metric: {name: log_loss, epsilon: 1}",
            "BAD_METRIC_PARAM",
            "no parameter 'epsilon'",
        ),
        ("metric: log_loss", "metric: qwk", "BAD_METRIC_PARAM", "needs the parameter min_rating"),
        (
            "metric: log_loss",
            "metric: {name: qwk, min_rating: 3, max_rating: 1}",
            "BAD_METRIC_PARAM",
            "below",
        ),
        ("metric: log_loss", "metric: {name: mse, columns: weighted}", "BAD_METRIC_PARAM", "column_weights"),
        ("metric: log_loss", "metric: log_loss\nalso: [rmse, rmse]", "BAD_ALSO", "already listed"),
        (
            "metric: log_loss",
            "metric: log_loss\nalso: [accuracy]",
            "BAD_ALSO",
            "accuracy needs a class label",
        ),
        ("metric: log_loss", "metric: mse\nalso: [rmsle]", "BAD_ALSO", "rmsle needs a number, 0 or more"),
        ("[target]", "[target, target]", "BAD_VALUE", "listed twice"),
        ("[target]", "[]", "BAD_VALUE", "at least 1"),
        ("[target]", "[Usage]", "BAD_VALUE", "cannot name a column"),
        ("title: Tiny", "title: Tiny\ntitle: Again", "DUPLICATE_KEY", "first on line 2"),
        ("title: Tiny", "title: [unclosed", "YAML_SYNTAX", "not YAML"),
        ("title: Tiny", "title: &a Tiny\nsummary: *a", "YAML_SYNTAX", "anchors"),
        ("title: Tiny", "title: " + "[" * 50 + "]" * 50, "YAML_SYNTAX", "deeply"),
        ("title: Tiny", "title: !!python/object/apply:os.getcwd []", "WRONG_TYPE", "title"),
        ("title: Tiny", "title: !!python/name:os.getcwd x", "YAML_SYNTAX", "not YAML"),
        ("title: Tiny", "title: \x07", "YAML_SYNTAX", "not YAML"),
        ("title: Tiny", "title: " + "x" * 1_000_001, "TOO_LARGE", "1 MB"),
        ("title: Tiny", "examples: [{file: gone.csv, public: 1}]", "FILE_MISSING", "examples/gone.csv"),
        ("title: Tiny", "examples: [{file: ../a.csv, public: 1}]", "OUTSIDE_FOLDER", "../a.csv"),
        ("title: Tiny", "examples: [{file: sub.csv}]", "BAD_VALUE", "expect either scores"),
        ("title: Tiny", "baselines: [{script: gone.py}]", "FILE_MISSING", "baselines/gone.py"),
        ("title: Tiny", "competition: {opens_at: '2026-10-01T09:00:00'}", "BAD_VALUE", "no offset"),
        ("title: Tiny", "competition: {dayly_limit: 1}", "UNKNOWN_KEY", "did you mean daily_limit?"),
        ("title: Tiny", "competition: {daily_limit: 0}", "BAD_VALUE", "greater than or equal to 1"),
        ("title: Tiny", "split: {strategy: groupd}", "BAD_VALUE", "did you mean grouped?"),
        ("title: Tiny", "split: {strategy: Chronologic}", "BAD_VALUE", "did you mean sequential?"),
        ("title: Tiny", "split: {strategy: official}", "BAD_VALUE", "known are random, stratified, grouped"),
        ("title: Tiny", "split: {strategy: time and group}", "BAD_VALUE", "names more than one strategy"),
        ("title: Tiny", "split: {strategy: ''}", "BAD_VALUE", "at least 1"),
        (
            "title: Tiny",
            "competition: {opens_at: '2026-10-02T00:00:00Z', closes_at: '2026-10-01T00:00:00Z'}",
            "BAD_VALUE",
            "later than",
        ),
    ],
)
def test_a_mistake_in_the_yaml_is_reported(write: Write, old: str, new: str, code: str, words: str) -> None:
    assert old in YAML
    refusal = refuse(write(YAML.replace(old, new)))
    assert code in {problem.code for problem in refusal.problems}
    assert words in str(refusal)


def test_class_names_may_look_like_numbers_or_booleans(write: Write) -> None:
    yaml = YAML.replace("[target]", "[no, 7, on]")
    labels = ["no", "7", "on", "no"] * 5
    assert scorer.load(write(yaml, columns=(IDS, labels, USAGE))).columns == ("no", "7", "on")


@pytest.mark.parametrize("name", ["challenge.yaml", "private/solution.csv"])
def test_a_missing_file_is_reported(write: Write, name: str) -> None:
    folder = write()
    (folder / name).unlink()
    (problem,) = refuse(folder).problems
    assert (problem.code, problem.file) == ("FILE_MISSING", name)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    assert refuse(tmp_path / "gone").problems[0].code == "FILE_MISSING"


@pytest.mark.parametrize(
    ("header", "columns", "code", "line"),
    [
        (("id", "target"), (IDS, TRUTH), "MISSING_COLUMN", 1),
        (("id", "y", "extra", "Usage"), (IDS, TRUTH, TRUTH, USAGE), "MISSING_COLUMN", 1),
        (("key", "target", "Usage"), (IDS, TRUTH, USAGE), "MISSING_COLUMN", 1),
        (("id", "target", "target", "Usage"), (IDS, TRUTH, TRUTH, USAGE), "DUPLICATE_COLUMN", 1),
        (("id", "target", "Usage"), (["1", *IDS[:-1]], TRUTH, USAGE), "DUPLICATE_IDS", 3),
        (("id", "target", "Usage"), (["", *IDS[1:]], TRUTH, USAGE), "BAD_ID", 2),
        (("id", "target", "Usage"), (IDS, TRUTH, ["public", *USAGE[1:]]), "BAD_USAGE", 2),
        (("id", "target", "Usage"), (IDS, TRUTH, ["Public"] * 20), "EMPTY_SPLIT", None),
        (("id", "target", "Usage"), (IDS, ["x", *TRUTH[1:]], USAGE), "NOT_A_NUMBER", 2),
        (("id", "target", "Usage"), (IDS, ["0.5", *TRUTH[1:]], USAGE), "NOT_WHOLE", 2),
        (("id", "target", "Usage"), (IDS, ["2", *TRUTH[1:]], USAGE), "OUT_OF_RANGE", 2),
        (("id", "target", "Usage"), (IDS, ["", *TRUTH[1:]], USAGE), "EMPTY_VALUE", 2),
        (("id", "target", "Usage"), ([], [], []), "NO_ROWS", None),
    ],
)
def test_a_mistake_in_the_solution_is_reported(
    write: Write, header: tuple[str, ...], columns: tuple[list[str], ...], code: str, line: int | None
) -> None:
    problems = refuse(write(header=header, columns=columns)).problems
    assert (problems[0].code, problems[0].line, problems[0].file) == (code, line, "private/solution.csv")


def test_a_ragged_solution_is_reported(write: Write) -> None:
    folder = write()
    path = folder / "private/solution.csv"
    path.write_text(path.read_text().replace("3,0,Public", "3,0,Public,9"))
    assert (refuse(folder).problems[0].code, refuse(folder).problems[0].line) == ("FIELD_COUNT", 4)


def test_a_solution_that_is_no_csv_is_reported(write: Write) -> None:
    folder = write()
    (folder / "private/solution.csv").write_bytes(b"PAR1....")
    assert [(p.code, p.file) for p in refuse(folder).problems] == [("NOT_CSV", "private/solution.csv")]


def test_the_solutions_own_column_order_does_not_matter(write: Write) -> None:
    challenge = scorer.load(write(header=("Usage", "target", "id"), columns=(USAGE, TRUTH, IDS)))
    assert list(challenge.solution.ids) == IDS
    assert challenge.solution.n_rows == {"public": 8, "private": 12, "ignored": 0}


def test_ignored_rows_need_no_truth_and_are_not_scored(write: Write) -> None:
    truth, usage = ["", *TRUTH[1:]], ["Ignored", *USAGE[1:]]
    challenge = scorer.load(write(columns=(IDS, truth, usage)))
    perfect = csv_text(("id", "target"), IDS, ["0.123", *TRUTH[1:]])
    report = scorer.score(challenge, perfect.encode())
    assert report.rows == {"public": 7, "private": 12, "ignored": 1}
    assert report.public < 1e-9


@pytest.mark.parametrize("metric", ["roc_auc", "f1", "balanced_accuracy"])
def test_a_split_without_a_class_is_refused(write: Write, metric: str) -> None:
    folder = write(YAML.replace("log_loss", metric), columns=(IDS, ["1"] * 8 + TRUTH[8:], USAGE))
    (problem,) = refuse(folder).problems
    assert problem.code in ("METRIC_UNDEFINED", "CLASS_NOT_IN_SPLIT")
    assert "Public" in problem.message


def test_a_true_class_without_a_column_is_refused(write: Write) -> None:
    folder = write(
        YAML.replace("[target]", "[cat, dog]"), columns=(IDS, ["cat", "dog", "cow", "cat"] * 5, USAGE)
    )
    (problem,) = refuse(folder).problems
    assert (problem.code, problem.line, problem.count) == ("UNKNOWN_CLASS", 4, 5)


def test_one_hot_rows_have_exactly_one_class(write: Write) -> None:
    yaml = YAML.replace("[target]", "[cat, dog]")
    cats, dogs = ["1", "0"] * 10, ["1", "1"] * 10
    folder = write(yaml, header=("id", "cat", "dog", "Usage"), columns=(IDS, cats, dogs, USAGE))
    assert (refuse(folder).problems[0].code, refuse(folder).problems[0].line) == ("ROW_SUM", 2)


def test_a_link_out_of_the_folder_is_refused(write: Write, tmp_path: Path) -> None:
    folder = write()
    secret = tmp_path / "secret.txt"
    secret.write_text("x")
    (folder / "public/link.txt").symlink_to(secret)
    (problem,) = refuse(folder).problems
    assert (problem.code, problem.file) == ("OUTSIDE_FOLDER", "public/link.txt")


@pytest.mark.parametrize(
    ("link", "target", "words"),
    [
        ("public/answers.csv", "../private/solution.csv", "out of public/"),
        ("public/deep/answers.csv", "../../private/solution.csv", "out of public/"),
        ("public/all", "../private", "out of public/"),
        ("public/again", "hop", "out of public/"),
        ("public/here", "/proc/self/cwd", "out of the challenge's folder"),
        ("public/environ", "/proc/self/environ", "out of the challenge's folder"),
        ("baselines", "private", "out of baselines/"),
        ("baselines/labels.csv", "../private/solution.csv", "out of baselines/"),
        ("description.md", "private/solution.csv", "into private/"),
        ("examples", "private", "into private/"),
        ("private/other.csv", "/etc/passwd", "out of the challenge's folder"),
    ],
)
def test_a_link_to_what_its_readers_may_not_read_is_refused(
    link: str, target: str, words: str, write: Write
) -> None:
    folder = write()
    (folder / "public/deep").mkdir()
    (folder / "public/hop").symlink_to("../private/solution.csv")
    path = folder / link
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)
    found = {problem.file: problem for problem in refuse(folder).problems}
    assert found[link].code == "OUTSIDE_FOLDER"
    assert found[link].message.startswith(f"{link} is a link {words}")


def test_a_link_within_its_part_of_the_folder_is_fine(write: Write) -> None:
    folder = write()
    (folder / "public/again.csv").symlink_to(folder / "public/sample_submission.csv")
    (folder / "public/loop").symlink_to("loop")
    (folder / "examples").mkdir(exist_ok=True)
    (folder / "examples/best.csv").symlink_to("../private/solution.csv")
    assert scorer.load(folder).title == "Tiny"


def test_the_slug_is_always_valid_in_a_url(write: Write, tmp_path: Path) -> None:
    folder = write().rename(tmp_path / "My Challenge_2!")
    assert scorer.load(folder).slug == "my-challenge-2"


# --- digests and the manifest ----------------------------------------------------------------------


def test_the_digest_depends_on_the_content(write: Write, tmp_path: Path) -> None:
    folder = write()
    digest = scorer.load(folder).digest
    copy = shutil.copytree(folder, tmp_path / "elsewhere")
    assert scorer.load(copy).digest == digest
    for litter in (
        ".DS_Store",
        "public/.hidden",
        "baselines/__pycache__/x.pyc",
        "public/notes.txt~",
        "README",
    ):
        (copy / litter).parent.mkdir(parents=True, exist_ok=True)
        (copy / litter).write_text("x")
    assert scorer.load(copy).digest == digest
    (copy / "public/more.txt").write_text("x")
    assert scorer.load(copy).digest != digest


def test_the_listing_shows_what_changed_between_versions(write: Write) -> None:
    before = scorer.load(write())
    relabelled = scorer.load(write(columns=(IDS, ["1", *TRUTH[1:]], USAGE)))
    assert relabelled.solution_digest != before.solution_digest
    assert relabelled.metric_digest == before.metric_digest
    measured = scorer.load(write(YAML.replace("log_loss", "mse")))
    assert measured.solution_digest == before.solution_digest
    assert measured.metric_digest != before.metric_digest
    described = scorer.load(write(files={"description.md": "new words"}))
    assert (described.solution_digest, described.metric_digest) == (
        before.solution_digest,
        before.metric_digest,
    )
    assert described.digest != before.digest


def test_the_manifest_is_json_and_describes_the_public_files(write: Write) -> None:
    table = (
        "id,n,x,when,what,gap\n1,1,1.5,2026-01-01,a,\n2,2,2,2026-01-02,7,\n"
        "3,,3,2026-01-03,c,\n4,4,4,2026-01-04,d,\n"
    )
    challenge = scorer.load(write(files={"public/train.csv": table, "public/deep/notes.txt": "hello"}))
    manifest = json.loads(json.dumps(challenge.manifest(), allow_nan=False))
    files = {file["name"]: file for file in manifest["files"]}
    assert list(files) == ["deep/notes.txt", "sample_submission.csv", "train.csv"]
    assert "schema" not in files["deep/notes.txt"]
    assert files["train.csv"]["n_rows"] == 4
    assert [(c["column"], c["type"], c["missing"]) for c in files["train.csv"]["schema"]] == [
        ("id", "integer", 0),
        ("n", "integer", 1),
        ("x", "number", 0),
        ("when", "date", 0),
        ("what", "text", 0),
        ("gap", "empty", 4),
    ]
    assert files["train.csv"]["schema"][1]["examples"] == ["1", "2", "4"]
    assert manifest["metric"]["bounds"] == [0.0, None]
    assert manifest["rows"] == {"public": 8, "private": 12, "ignored": 0}
    assert manifest["submission"]["columns"] == [{"name": "target", "holds": "a number in [0, 1]"}]


def test_the_manifest_does_not_depend_on_the_labels(write: Write) -> None:
    one = scorer.load(write()).manifest()
    other = scorer.load(write(columns=(IDS, TRUTH[::-1], [*USAGE[8:], *USAGE[:8]]))).manifest()
    assert one == other


def test_labels_are_not_in_the_representation_of_a_challenge(challenge: scorer.Challenge) -> None:
    assert "array" not in repr(challenge)
    assert "array" not in repr(challenge.solution)


def test_unreadable_public_csv_files_are_listed_without_a_schema(write: Write) -> None:
    files = {"public/empty.csv": "", "public/ragged.csv": "a,b\n1\n1,2,3\n", "public/twice.csv": "a,a\n1,2\n"}
    entries = {file["name"]: file for file in scorer.load(write(files=files)).manifest()["files"]}
    assert "schema" not in entries["empty.csv"]
    assert "schema" not in entries["ragged.csv"]
    assert [c["column"] for c in entries["twice.csv"]["schema"]] == ["a", "a"]


def test_many_rows_load_and_score(write: Write) -> None:
    n = 100_000
    ids = [f"row{i}" for i in range(n)]
    truth = np.random.default_rng(0).integers(0, 2, n).astype(str).tolist()
    challenge = scorer.load(write(columns=(ids, truth, ["Public", "Private"] * (n // 2))))
    report = scorer.score(challenge, csv_text(("id", "target"), ids, ["0.25"] * n).encode())
    assert 0.2 < report.public < 1.0


def test_a_column_named_like_a_number_keeps_its_name(write: Write) -> None:
    yaml = YAML.replace("[target]", "[1e3, 007]").replace("log_loss", "rmse")
    folder = write(yaml, header=("id", "1e3", "007", "Usage"), columns=(IDS, TRUTH, TRUTH, USAGE))
    assert scorer.load(folder).columns == ("1e3", "007")


def ten_classes(folder: Path, n_rows: int, cell: str) -> scorer.Challenge:
    names = [f"c{i}" for i in range(10)]
    ids = [str(i) for i in range(n_rows)]
    for inside in ("public", "private"):
        (folder / inside).mkdir(parents=True)
    (folder / "challenge.yaml").write_text(
        f"metric: log_loss\nsubmission: {{id: id, columns: [{', '.join(names)}]}}\n"
    )
    sample = csv_text(("id", *names), ids, *[[cell] * n_rows] * 10)
    (folder / "public/sample_submission.csv").write_text(sample)
    solution = csv_text(("id", "label", "Usage"), ids, ["c1"] * n_rows, ["Public", "Private"] * (n_rows // 2))
    (folder / "private/solution.csv").write_text(solution)
    return scorer.load(folder)


def test_a_file_with_all_digits_is_accepted_however_short_the_sample_is(tmp_path: Path) -> None:
    # A sample of 0.1 in 60,000 x 10 cells made a limit of 12 MB, and df.to_csv writes 12.3 MB.
    n = 60_000
    challenge = ten_classes(tmp_path / "short", n, "0.1")
    cells = [["0.10000000000000001234"] * n] * 10
    names = [f"c{i}" for i in range(10)]
    data = csv_text(("id", *names), [str(i) for i in range(n)], *cells).encode()
    assert len(data) > 13_000_000
    assert scorer.score(challenge, data).public == pytest.approx(np.log(10))
    longer = ten_classes(tmp_path / "long", n, "0.1000000000000000055511151231257827")
    assert longer.max_bytes == challenge.max_bytes, "how the sample is spelt does not matter"


@pytest.mark.parametrize(("ids", "longest"), [(["7", "-123"], 4), (["a", "caf\u00e9" * 20], 100), ([], 0)])
def test_the_longest_id_is_measured_in_bytes(ids: list[str], longest: int) -> None:
    assert IdIndex.build(ids).longest_bytes == longest


@pytest.mark.parametrize("metric", ["{name: ndcg_at_k, k: 3}", "dice", "accuracy"])
def test_the_limit_of_cells_that_are_no_numbers_grows_with_the_sample(write: Write, metric: str) -> None:
    sample = csv_text(("id", "target"), IDS, ["1 2 " * 50_000] * 20)
    folder = write(YAML.replace("log_loss", metric), files={"public/sample_submission.csv": sample})
    if metric == "dice":
        (folder / "private/solution.csv").write_text(
            csv_text(("id", "target", "Usage"), IDS, ["1 2"] * 20, USAGE)
        )
    assert scorer.load(folder).max_bytes >= 4 * len(sample) + 1_000_000


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        ("random", "random Random iid i.i.d. shuffled random_split"),
        ("stratified", "stratified stratify StratifiedKFold stratified-random"),
        ("grouped", "grouped group groups by_group GroupKFold group-k-fold StratifiedGroupKFold clustered"),
        (
            "sequential",
            "sequential time Temporal chronological time-based time_series TimeSeriesSplit ordered",
        ),
    ],
)
def test_synonyms_of_a_strategy_are_read_as_its_name(write: Write, strategy: str, words: str) -> None:
    for word in words.split():
        challenge = scorer.load(write(YAML + f"split:\n  strategy: {word}\n"))
        assert (word, challenge.split.strategy) == (word, strategy)
        assert challenge.manifest()["split"]["strategy"] == strategy


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        ("random", ["k-fold", "KFold", "5-fold cv", "cross-validation k-fold"]),
        ("grouped", ["by patient", "by site", "leave-one-subject-out", "per_user"]),
        ("sequential", ["walk-forward", "rolling window", "expanding_window", "Backtest"]),
    ],
)
def test_words_that_suggest_a_strategy_are_answered_with_its_name(strategy: str, words: list[str]) -> None:
    for word in words:
        assert strategies.strategy_named(word) is None
        message = strategies.unknown_strategy(word)
        assert f"did you mean {strategy}?" in message
        assert ("split.group" in message) == (strategy == "grouped")


def test_an_unknown_strategy_is_reported_with_its_line_and_other_mistakes(write: Write) -> None:
    refusal = refuse(write("titel: Tiny\n" + YAML + "split:\n  note: drawn by hand\n  strategy: radnom\n"))
    assert [(problem.line, problem.code) for problem in refusal.problems] == [
        (1, "UNKNOWN_KEY"),
        (8, "BAD_VALUE"),
    ]
    assert "did you mean random?" in str(refusal)


def test_a_version_published_with_an_unknown_strategy_still_loads(write: Write) -> None:
    folder = write(YAML + "split: {strategy: by hand}\n")
    refuse(folder)
    assert scorer.load(folder, digest="0" * 64).split.strategy == "by hand"
