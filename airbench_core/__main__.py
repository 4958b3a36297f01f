"""`python -m airbench_core`: the command line, which stands a floor up, in airbench_lab."""

import runpy

runpy.run_module("airbench_lab.cli", run_name="__main__", alter_sys=True)
