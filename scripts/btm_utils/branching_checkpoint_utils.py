#!/usr/bin/env python3
"""Makes a checkpoint of one run the start of another, with btm branch. See --help."""
import sys

from btm_program import become

if __name__ == "__main__":
    become("branch", sys.argv[1:])
