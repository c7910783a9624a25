"""Neural network

Features and target both standardised: from small first weights, 150 is a long way off.
"""

import sys

import pandas as pd
from sklearn.compose import TransformedTargetRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

train = pd.read_csv("public/train.csv")
test = pd.read_csv("public/test.csv")
features = test.columns.drop("id")

network = MLPRegressor(hidden_layer_sizes=(8,), solver="lbfgs", alpha=10, max_iter=2000, random_state=0)
model = TransformedTargetRegressor(make_pipeline(StandardScaler(), network), transformer=StandardScaler())
model.fit(train[features], train["progression"])

progression = model.predict(test[features])
pd.DataFrame({"id": test["id"], "progression": progression}).to_csv(sys.argv[1], index=False)
