"""Write the baseline scripts of a challenge: one readable program for each common model.

Each is complete: it reads public/ and writes a submission, so a participant can start from it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scorer.authoring.choices import Choices
from scorer.authoring.columns import Profile, Target
from scorer.metrics import METRICS

MAX_WORDS = 50
"""Distinct words of a column that becomes one column each; others are left out."""


@dataclass(frozen=True, slots=True)
class Model:
    name: str
    title: str
    about: str
    imports: Sequence[str]
    """What classes and numbers both need; `{Kind}` is Classifier or Regressor."""
    for_classes: str
    for_numbers: str
    cells: int | None
    """Cells of the training table that it learns from in about half a minute; None: any number."""


MODELS = (
    Model(
        "dummy",
        "Constant",
        "The same for every row: the commonest class, the shares of the classes, or the mean.",
        ["from sklearn.dummy import Dummy{Kind}"],
        'DummyClassifier(strategy="prior")',
        "DummyRegressor()",
        None,
    ),
    Model(
        "linear",
        "Linear model",
        "A weighted sum of the columns, each standardised.",
        ["from sklearn.linear_model import {linear}"],
        "LogisticRegression(max_iter=1000)",
        "Ridge()",
        20_000_000,
    ),
    Model(
        "tree",
        "Decision tree",
        "One tree, cut short so that each leaf holds several rows.",
        ["from sklearn.tree import DecisionTree{Kind}"],
        "DecisionTreeClassifier(min_samples_leaf=10, max_depth=8, random_state=0)",
        "DecisionTreeRegressor(min_samples_leaf=10, max_depth=8, random_state=0)",
        5_000_000,
    ),
    Model(
        "neighbours",
        "Nearest neighbours",
        "The fifteen most similar rows vote.",
        ["from sklearn.neighbors import KNeighbors{Kind}"],
        "KNeighborsClassifier(n_neighbors=15)",
        "KNeighborsRegressor(n_neighbors=15)",
        300_000,
    ),
    Model(
        "svm",
        "Support vector machine",
        "A smooth border or curve, held by the rows nearest to it.",
        ["from sklearn.svm import {svm}"],
        "SVC()",
        "SVR()",
        100_000,
    ),
    Model(
        "mlp",
        "Neural network",
        "One hidden layer of sixteen units.",
        ["from sklearn.neural_network import MLP{Kind}"],
        "MLPClassifier(hidden_layer_sizes=(16,), alpha=0.1, max_iter=300, random_state=0)",
        "MLPRegressor(hidden_layer_sizes=(16,), alpha=0.1, max_iter=300, random_state=0)",
        300_000,
    ),
    Model(
        "bagging",
        "Random forest",
        "A hundred deep trees, each grown on a random half of the picture; their mean.",
        ["from sklearn.ensemble import RandomForest{Kind}"],
        "RandomForestClassifier(min_samples_leaf=2, random_state=0)",
        "RandomForestRegressor(min_samples_leaf=2, random_state=0)",
        500_000,
    ),
    Model(
        "boosting",
        "Gradient boosting",
        "A sum of small trees, each correcting the ones before.",
        ["from sklearn.ensemble import HistGradientBoosting{Kind}"],
        "HistGradientBoostingClassifier(max_iter=100, max_leaf_nodes=15, random_state=0)",
        "HistGradientBoostingRegressor(max_iter=100, max_leaf_nodes=15, random_state=0)",
        10_000_000,
    ),
)


def scripts(
    profile: Profile, target: Target, choices: Choices, *, n_train: int, positive: str | None
) -> Iterator[tuple[str, str, str]]:
    """Yield (file name, title, text) of every baseline that these columns allow.

    Without a number, a date or a column of few words only the constant is left.
    """
    features = [
        column
        for column in profile.columns
        if column.name not in (target.name, choices.id, *choices.drop)
        and (
            column.kind in ("number", "date")
            or (column.kind == "category" and column.n_distinct <= MAX_WORDS)
        )
    ]
    n_columns = sum(column.n_distinct if column.kind == "category" else 1 for column in features)
    for number, model in enumerate(MODELS if features else MODELS[:1], start=1):
        rows = None if model.cells is None else max(200, model.cells // max(1, n_columns))
        kept = rows if rows is not None and rows < n_train else None
        text = _script(model, profile, target, choices, rows=kept, positive=positive)
        yield f"{number}_{model.name}.py", model.title, text


def _script(
    model: Model,
    profile: Profile,
    target: Target,
    choices: Choices,
    *,
    rows: int | None,
    positive: str | None,
) -> str:
    classes = target.kind != "number"
    names = {
        "Kind": "Classifier" if classes else "Regressor",
        "linear": "LogisticRegression" if classes else "Ridge",
        "svm": "SVC" if classes else "SVR",
    }
    estimator = model.for_classes if classes else model.for_numbers
    imports = [line.format(**names) for line in model.imports]
    learns = model.name != "dummy"
    wraps = learns and not classes and model.name in ("svm", "mlp", "linear", "neighbours")
    calibrates = model.name == "svm" and choices.predicted == "probabilities"
    if learns:
        imports += [
            "from sklearn.compose import ColumnTransformer"
            + (", TransformedTargetRegressor" if wraps else ""),
            "from sklearn.impute import SimpleImputer",
            "from sklearn.pipeline import make_pipeline",
            "from sklearn.preprocessing import OneHotEncoder, StandardScaler",
        ]
    if calibrates:
        imports.append("from sklearn.calibration import CalibratedClassifierCV")
        estimator = f"CalibratedClassifierCV({estimator}, ensemble=False)"
    if model.name == "mlp" and not classes:
        about = model.about + " The target is standardised as well."
    else:
        about = model.about
    body = [
        f'"""{model.title}',
        "",
        *textwrap.wrap(about, 100),
        '"""',
        "",
        "import sys",
        "",
        "import pandas as pd",
    ]
    body += [*sorted(imports), ""]
    body += [f"TARGET = {target.name!r}"]
    as_text = '"id": str, TARGET: str' if classes else '"id": str'
    body += [
        f'READ = {{"dtype": {{{as_text}}}}}',
        "",
        'train = pd.read_csv("public/train.csv", **READ)',
        'test = pd.read_csv("public/test.csv", **READ)',
    ]
    if rows is not None:
        body += [f"train = train.sample({rows}, random_state=0)  # more rows take too long"]
    body += _dates(profile, choices) if learns else []
    if learns:
        body += [
            "",
            'features = test.columns.drop("id")',
            'numbers = list(train[features].select_dtypes("number").columns)',
            f"words = [name for name in features.drop(numbers) if train[name].nunique() <= {MAX_WORDS}]",
            "columns = ColumnTransformer(",
            "    [",
            '        ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), numbers),',
            '        ("words", OneHotEncoder(handle_unknown="ignore", sparse_output=False), words),',
            "    ]",
            ")",
            f"model = make_pipeline(columns, {estimator})",
        ]
        if wraps:
            body += ["model = TransformedTargetRegressor(model, transformer=StandardScaler())"]
    else:
        body += [f"model = {estimator}"]
    columns = "[features]" if learns else '[["id"]]'
    body += [f"model.fit(train{columns}, train[TARGET])", ""]
    body += _answer(choices, f"test{columns}", positive)
    return "\n".join(body) + "\n"


def _dates(profile: Profile, choices: Choices) -> list[str]:
    named = [name for name in profile.dates if name not in (choices.id, *choices.drop)]
    if not named:
        return []
    return [
        "",
        "# Of each date: how long ago, and where in the year, the week and the day.",
        f"for name in {named!r}:",
        "    for table in (train, test):",
        '        when = pd.to_datetime(table.pop(name), format="ISO8601", utc=True)',
        '        table[f"{name} days"] = (when - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)',
        '        for part in ("month", "dayofweek", "hour"):',
        '            table[f"{name} {part}"] = getattr(when.dt, part)',
    ]


def _answer(choices: Choices, rows: str, positive: str | None) -> list[str]:
    save = ".to_csv(sys.argv[1], index=False)"
    if choices.predicted == "probabilities" and positive is not None:
        return [
            f"chances = pd.DataFrame(model.predict_proba({rows}), columns=model.classes_)",
            f'pd.DataFrame({{"id": test["id"], TARGET: chances[{positive!r}]}}){save}',
        ]
    if choices.predicted == "probabilities":
        return [
            f"chances = pd.DataFrame(model.predict_proba({rows}), columns=model.classes_)",
            f'pd.concat([test["id"], chances], axis=1){save}',
        ]
    clip = ""
    if choices.predicted == "numbers":
        cells = METRICS[choices.metric].predicted_cells(
            METRICS[choices.metric].read_parameters(choices.metric_parameters)
        )
        clip = ".clip(0)" if cells.low == 0 else ""
    return [f'pd.DataFrame({{"id": test["id"], TARGET: model.predict({rows}){clip}}}){save}']
