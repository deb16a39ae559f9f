"""What inference workers call, each call signed with the report key of the manifest."""
