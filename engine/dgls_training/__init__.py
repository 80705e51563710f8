"""Training of the embedded model (corpus -> tokenizer -> train -> export), of its autoregressive peer, and of the small
model's adapter.

    python -m dgls_training --help
    python -m dgls_training adapter --help

Nothing here is needed to run the engine or the server. Training uses the engine's decoder pass and tokenizer, so the
embedded model runs as it was trained; a test compares the adapter's training with the engine's passes.
"""
