"""The browser side in headless Chromium: its cryptography against Python's, and the pages."""
