"""The same infilling over a vLLM server that a team shares: knows tokens and HTTP, neither LSP nor weights.

    RemoteEngine.open(Address("https://gpu.example"), model) -> infill(request) -> Step, ..., Infill

Tokenizer, chat template and profile are local; canvases go over the wire and come back denoised (docs/remote.md says
which of the engine's laws hold there). Importing this package is cheap.
"""
