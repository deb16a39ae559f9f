"""Tallies: how many recordings were counted on which day; what was counted stays encrypted."""
