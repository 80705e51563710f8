"""One module a request or notification of LSP; each registers its own handlers. None imports another."""
