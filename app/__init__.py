"""The platform: accounts, competitions, submissions and boards in one SQL database.

The core modules are functions over a SQLAlchemy session and values, without HTTP and without numeric
libraries. `app.web` and `app.cli` call them for people; `worker` records scores with them.
"""
