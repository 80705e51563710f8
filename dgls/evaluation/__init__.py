"""The harness behind `dgls eval` and `dgls calibrate`: cut holes into code, fill them as the product does, score."""
