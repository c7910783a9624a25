"""Always the mean

The mean of train.csv, for every row. Every other row of the board should beat it.
"""

import sys

import pandas as pd
from sklearn.dummy import DummyRegressor

train = pd.read_csv("public/train.csv")
test = pd.read_csv("public/test.csv")
features = test.columns.drop("id")

model = DummyRegressor()
model.fit(train[features], train["progression"])

progression = model.predict(test[features])
pd.DataFrame({"id": test["id"], "progression": progression}).to_csv(sys.argv[1], index=False)
