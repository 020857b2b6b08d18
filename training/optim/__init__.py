"""Adam, loss scale and running average of weights."""
