"""Decision tree

Three questions deep. Left to grow, it would learn the noise of every single patient.
"""

import sys

import pandas as pd
from sklearn.tree import DecisionTreeRegressor

train = pd.read_csv("public/train.csv")
test = pd.read_csv("public/test.csv")
features = test.columns.drop("id")

model = DecisionTreeRegressor(max_depth=3, random_state=0)
model.fit(train[features], train["progression"])

progression = model.predict(test[features])
pd.DataFrame({"id": test["id"], "progression": progression}).to_csv(sys.argv[1], index=False)
