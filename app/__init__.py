"""The platform: accounts, competitions, submissions and boards over one SQL database.

Core modules here are plain functions over a SQLAlchemy session and values. They know neither HTTP
nor numbers: `app.web` and `app.cli` speak for them, `worker` brings them scores.
"""
