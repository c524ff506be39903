"""Other engines behind the same arms, prompts, records and report: vLLM, in a process of its own or as a server."""
