"""Training of the embedded model (corpus -> tokenizer -> train -> export), and of its autoregressive peer.

    python -m dgls_training --help

Nothing here is needed to run the engine or the server. Training uses the engine's decoder pass and tokenizer, so the
model runs as it was trained.
"""
