"""Pages of accounts, sign-ins and tokens."""
