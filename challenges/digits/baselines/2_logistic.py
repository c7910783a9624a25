"""Logistic regression

On the 64 pixels, brought to 0..1. One weight per pixel and digit: ten templates to hold against the image.
"""

import sys

import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

train = pd.read_csv("public/train.csv")
test = pd.read_csv("public/test.csv")
features = test.columns.drop("id")

model = make_pipeline(MinMaxScaler(), LogisticRegression(max_iter=1000))
model.fit(train[features], train["digit"])

digit = model.predict(test[features])
pd.DataFrame({"id": test["id"], "digit": digit}).to_csv(sys.argv[1], index=False)
