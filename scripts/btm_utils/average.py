#!/usr/bin/env python3
"""Averages the parameters of models, with btm average. See --help."""
import sys

from btm_program import become

if __name__ == "__main__":
    become("average", ["--overwrite", *sys.argv[1:]])  # as the release does
