"""Networks, their training and the files that the inference worker runs."""
