"""llama.cpp behind the session contract: its server in a process of ours, from `xllamacpp` or a binary, or running."""
