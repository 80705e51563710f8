"""The language server: knows LSP and text, never tensors."""
