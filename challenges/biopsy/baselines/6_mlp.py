"""Neural network

One small hidden layer; the strong penalty (alpha) keeps it from being too sure of itself.
"""

import sys

import pandas as pd
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

train = pd.read_csv("public/train.csv")
test = pd.read_csv("public/test.csv")
features = test.columns.drop("id")

network = MLPClassifier(hidden_layer_sizes=(16,), solver="lbfgs", alpha=3, max_iter=2000, random_state=0)
model = make_pipeline(StandardScaler(), network)
model.fit(train[features], train["malignant"])

malignant = model.predict_proba(test[features])[:, 1]
pd.DataFrame({"id": test["id"], "malignant": malignant}).to_csv(sys.argv[1], index=False)
