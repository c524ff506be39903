"""vLLM behind the session contract: in a process of its own or as a running server."""
