"""Support vector machine

Its tolerance (epsilon) and penalty (C) are in the target's unit, so the target is standardised too.
"""

import sys

import pandas as pd
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

train = pd.read_csv("public/train.csv")
test = pd.read_csv("public/test.csv")
features = test.columns.drop("id")

machine = make_pipeline(StandardScaler(), SVR(C=1, gamma=0.03))
model = TransformedTargetRegressor(machine, transformer=StandardScaler())
model.fit(train[features], train["progression"])

progression = model.predict(test[features])
pd.DataFrame({"id": test["id"], "progression": progression}).to_csv(sys.argv[1], index=False)
