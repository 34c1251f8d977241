"""The grammar that writes the embedded English-German corpus."""
