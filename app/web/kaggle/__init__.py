"""What the stock Kaggle clients send and expect: two families of calls over the core's own functions."""
