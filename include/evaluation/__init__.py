"""Scores to a decision rule, metrics with intervals, and pages."""
