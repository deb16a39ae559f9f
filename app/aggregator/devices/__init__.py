"""The keys of an account's devices: asked for, signed for, pinned, removed."""
