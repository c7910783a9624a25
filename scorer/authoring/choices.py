"""Everything that was chosen for a challenge, as one document.

The same table and the same choices give the same folder, byte for byte, so the document is kept in private/.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Strategy = Literal["random", "stratified", "grouped", "sequential"]
Predicted = Literal["probabilities", "labels", "numbers"]
CHOICES_FILE = "private/choices.yaml"


class Choices(BaseModel):
    """What a person confirmed or changed; `scorer.authoring.proposal.propose` completes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    target: str
    predicted: Predicted
    id: str | None = None
    """A column of the table that names its rows; it is replaced by new ids."""
    strategy: Strategy
    time: str | None = None
    """Orders the rows of a sequential split."""
    group: str | None = None
    """Its values are wholly in train, public or private."""
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.3
    public_share: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Of the test rows."""
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    """Secret: with the table it gives the split away."""
    metric: str
    metric_parameters: dict[str, str | float] = {}
    also: list[str] = []
    drop: list[str] = []
    """Columns that are left out."""
    without_duplicates: bool = False
    """Equal rows are given once."""
    without_rare: bool = False
    """Rows of classes that are too rare for all three parts are left out."""
    title: str
    slug: str
    summary: str | None = None
    """None: one sentence about the target."""
    description: str | None = None
    """Markdown; None: drafted from the table."""

    def document(self) -> dict[str, Any]:
        """Return what is written to the folder."""
        texts = {name for name in ("summary", "description") if getattr(self, name) is None}
        return self.model_dump(exclude=texts)
