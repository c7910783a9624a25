"""Gradient boosting

Many shallow trees, each correcting the sum of those before it by a little.
"""

import sys

import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier

train = pd.read_csv("public/train.csv")
test = pd.read_csv("public/test.csv")
features = test.columns.drop("id")

model = HistGradientBoostingClassifier(learning_rate=0.05, max_iter=100, max_leaf_nodes=8, random_state=0)
model.fit(train[features], train["malignant"])

malignant = model.predict_proba(test[features])[:, 1]
pd.DataFrame({"id": test["id"], "malignant": malignant}).to_csv(sys.argv[1], index=False)
