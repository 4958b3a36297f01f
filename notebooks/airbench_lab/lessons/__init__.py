"""Helpers of single lessons."""
