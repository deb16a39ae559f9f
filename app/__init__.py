"""The web side of Hushbeat: two Flask applications, one a role."""
