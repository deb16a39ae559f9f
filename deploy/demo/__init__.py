"""`make demo`: the whole way of a recording without hands, and a search for what it left."""
