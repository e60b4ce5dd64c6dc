"""Models of scikit-learn on frozen features or raw pixels."""
