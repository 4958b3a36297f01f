"""The series on the web: a static site of what is in this repository, and the explorer of the recorded runs."""
