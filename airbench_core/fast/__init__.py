"""What is faster only by being more complicated. Each piece has a plain twin elsewhere, and is tested against it."""
