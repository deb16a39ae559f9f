"""Cohorts: a clinic's rosters, and this role's half of opening one."""
