"""Names that a class gives its students, and the rule of its grades

Programs of 0003 go on working: their classes let students choose a name and use the default rule.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0033_since_0003"
down_revision = "0032_since_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("classroom", sa.Column("names", sa.String(10), server_default="free", nullable=False))
    op.add_column("class_competition", sa.Column("grade_rule", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("class_competition", "grade_rule")
    op.drop_column("classroom", "names")
