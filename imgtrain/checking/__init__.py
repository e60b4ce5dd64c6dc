"""Looking at every file of a data set: what is wrong with it, and moving what is bad aside."""
