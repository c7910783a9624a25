"""Always the commonest digit

Whichever train.csv holds most of. Every other row of the board has to beat this.
"""

import sys

import pandas as pd
from sklearn.dummy import DummyClassifier

train = pd.read_csv("public/train.csv")
test = pd.read_csv("public/test.csv")
features = test.columns.drop("id")

model = DummyClassifier(strategy="most_frequent")
model.fit(train[features], train["digit"])

digit = model.predict(test[features])
pd.DataFrame({"id": test["id"], "digit": digit}).to_csv(sys.argv[1], index=False)
