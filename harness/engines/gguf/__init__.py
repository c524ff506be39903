"""GGUF files, as llama.cpp reads them: written from checkpoint folders, and read as far as their header."""
