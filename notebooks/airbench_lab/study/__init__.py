"""Many runs: what is written down of each, and what is read from them."""
