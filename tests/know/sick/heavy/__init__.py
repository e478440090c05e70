"""A package that computes as it is imported."""

import time

began = time.process_time()
while time.process_time() - began < 0.6:
    pass
