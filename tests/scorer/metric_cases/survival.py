"""Order of events in time."""

from __future__ import annotations

import pandas as pd
from hypothesis import strategies as st

from tests.scorer.metric_cases import Frames, MetricCase
from tests.scorer.metric_cases.regression import ANY, Cells, frames


def c_index(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
    right, pairs = 0.0, 0
    rows = list(zip(*(solution[name] for name in solution.columns[1:3]), submission["risk"], strict=True))
    for time, event, risk in rows:
        for later, other_event, other_risk in rows:
            if event and (time < later or (time == later and not other_event)):
                pairs += 1
                right += 1.0 if risk > other_risk else 0.5 if risk == other_risk else 0.0
    return right / pairs


def earliest_first(solution: pd.DataFrame, submission: pd.DataFrame) -> pd.DataFrame:
    """Order rows by time; of equal times events come first.

    Rows still watched then outlived them.
    """
    time, event = (solution[name] for name in solution.columns[1:3])
    return submission.assign(risk=-2.0 * time.rank(method="dense") + event)


def watched(
    times: Cells, risks: Cells, time: str = "time", event: str = "event"
) -> st.SearchStrategy[Frames]:
    drawn = frames({time: times, event: st.sampled_from([0, 1])}, {"risk": risks})
    after_an_event = st.just([(0.5, 1), (9.5, 0)])

    def with_a_pair(both: Frames, rows: list[tuple[float, int]]) -> Frames:
        solution, submission = both
        solution.loc[:1, [time, event]] = pd.DataFrame(rows, columns=[time, event])
        return solution, submission

    return st.builds(with_a_pair, drawn, after_an_event)


FEW = st.integers(0, 4).map(float)

CASES: dict[str, list[MetricCase]] = {
    "c_index": [
        MetricCase(watched(FEW, FEW), reference=c_index, perfect=earliest_first),
        MetricCase(
            watched(ANY.map(abs), ANY, "days", "died"),
            {"time": "days", "event": "died"},
            c_index,
            earliest_first,
        ),
    ]
}
