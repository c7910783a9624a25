"""Neural network

One hidden layer on pixels brought to 0..1.
"""

import sys

import pandas as pd
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

train = pd.read_csv("public/train.csv")
test = pd.read_csv("public/test.csv")
features = test.columns.drop("id")

network = MLPClassifier(
    hidden_layer_sizes=(64,), solver="lbfgs", alpha=1, tol=1e-3, max_iter=1000, random_state=0
)
model = make_pipeline(MinMaxScaler(), network)
model.fit(train[features], train["digit"])

digit = model.predict(test[features])
pd.DataFrame({"id": test["id"], "digit": digit}).to_csv(sys.argv[1], index=False)
