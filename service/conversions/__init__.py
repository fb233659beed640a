"""Between protobuf messages and the words of the engine. Messages go no further down than here."""
