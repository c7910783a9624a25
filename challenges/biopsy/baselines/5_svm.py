"""Support vector machine

A margin is not a probability: a sigmoid fitted by cross-validation translates it.
"""

import sys

import pandas as pd
from sklearn.calibration import CalibratedClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

train = pd.read_csv("public/train.csv")
test = pd.read_csv("public/test.csv")
features = test.columns.drop("id")

machine = make_pipeline(StandardScaler(), SVC())
model = CalibratedClassifierCV(machine, cv=5, ensemble=False)
model.fit(train[features], train["malignant"])

malignant = model.predict_proba(test[features])[:, 1]
pd.DataFrame({"id": test["id"], "malignant": malignant}).to_csv(sys.argv[1], index=False)
