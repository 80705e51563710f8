"""Training of the embedded model: corpus -> tokenizer -> train -> export.

    python -m engine.training --help

Nothing at run time imports this package. It shares the decoder pass and the tokenizer with the engine, so that
what is trained is what runs.
"""
