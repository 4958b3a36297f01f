"""What the lessons import. It stands on `airbench_core`, which knows nothing of it."""

# What the command line says of the lab's verbs (pyproject.toml: entry points) without an import of what makes them.
VERBS = {
    "sweep": "make the many runs of a study; started again it goes on",
    "report": "what run logs say: accuracies, differences, epochs to a target, with intervals",
    "verify": "train a recipe many times and test its mean accuracy against a target",
    "grade": "grade a folder of submissions",
    "leaderboard": "run the speedrun entries in a folder of submissions, and rank them",
    "site": "build the lessons and the explorer of the recorded runs as a web site",
}
