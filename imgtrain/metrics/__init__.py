"""How good a model is: plain numbers from labels and probabilities."""
