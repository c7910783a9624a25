"""Logistic regression

On standardised features, as every penalty wants them.
"""

import sys

import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

train = pd.read_csv("public/train.csv")
test = pd.read_csv("public/test.csv")
features = test.columns.drop("id")

model = make_pipeline(StandardScaler(), LogisticRegression())
model.fit(train[features], train["malignant"])

malignant = model.predict_proba(test[features])[:, 1]
pd.DataFrame({"id": test["id"], "malignant": malignant}).to_csv(sys.argv[1], index=False)
