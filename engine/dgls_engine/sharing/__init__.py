"""One copy of a model for all editor windows of a user.

    Sharing(identity_of(model)).open(load, on_loading, worker) -> an engine: loaded here, or that of another process

Each window has a server process of its own. The process that gets the model's lock is its *holder*: it loads the model
and answers the others, the *guests*, over a local socket. When the holder ends, the system frees the lock, and a guest
becomes the holder. `identity` tells models apart, `place` is where lock and socket are, `holder` and `guest` are the
two ends, `wire` is what they say, `line` is how. Importing this package is cheap; a guest imports no torch.
"""
