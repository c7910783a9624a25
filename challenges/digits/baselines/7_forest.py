"""Random forest

Bagging: 200 trees, each on its own sample of the rows, each looking at a few pixels at a time.
"""

import sys

import pandas as pd
from sklearn.ensemble import RandomForestClassifier

train = pd.read_csv("public/train.csv")
test = pd.read_csv("public/test.csv")
features = test.columns.drop("id")

model = RandomForestClassifier(n_estimators=200, n_jobs=1, random_state=0)
model.fit(train[features], train["digit"])

digit = model.predict(test[features])
pd.DataFrame({"id": test["id"], "digit": digit}).to_csv(sys.argv[1], index=False)
