"""The inference worker: from a sealed recording to an encrypted report."""
