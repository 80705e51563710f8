"""Training of the embedded model: corpus -> tokenizer -> train -> export; and of its autoregressive peer.

    python -m dgls_training --help

Only the evaluation imports anything from here at run time (`peer`, for an exported peer). It shares the decoder pass
and the tokenizer with the engine, so that what is trained is what runs.
"""
