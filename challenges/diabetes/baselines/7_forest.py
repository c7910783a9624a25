"""Random forest

Bagging: 200 trees, each on its own sample of the rows, averaged.
"""

import sys

import pandas as pd
from sklearn.ensemble import RandomForestRegressor

train = pd.read_csv("public/train.csv")
test = pd.read_csv("public/test.csv")
features = test.columns.drop("id")

model = RandomForestRegressor(n_estimators=200, min_samples_leaf=5, n_jobs=1, random_state=0)
model.fit(train[features], train["progression"])

progression = model.predict(test[features])
pd.DataFrame({"id": test["id"], "progression": progression}).to_csv(sys.argv[1], index=False)
