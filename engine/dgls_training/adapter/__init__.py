"""Training of the small model's adapter: a low-rank addition on canvas rows, which makes a published autoregressive
model a denoiser.

    python -m dgls_training adapter --help

    tokens      the corpus as the base's tokens               base        the frozen model, its passes
    examples    holes drawn from them, decided up to a place  weights     the adapter, read and written
    objective   a batch's masks, the teacher, the loss        trainer     the leg: schedule, checkpoints, log
    held_out    nats by position, adapters compared           commands    the command line

The layout and the rule of what a row sees are the product's: `dgls_engine/model/masked/passes.py`.
"""
