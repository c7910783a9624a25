"""Random forest

Bagging: 200 trees, each on its own sample of the rows. Their average is hardly ever 0 or 1.
"""

import sys

import pandas as pd
from sklearn.ensemble import RandomForestClassifier

train = pd.read_csv("public/train.csv")
test = pd.read_csv("public/test.csv")
features = test.columns.drop("id")

model = RandomForestClassifier(n_estimators=200, min_samples_leaf=2, n_jobs=1, random_state=0)
model.fit(train[features], train["malignant"])

malignant = model.predict_proba(test[features])[:, 1]
pd.DataFrame({"id": test["id"], "malignant": malignant}).to_csv(sys.argv[1], index=False)
