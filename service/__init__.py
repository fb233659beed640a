"""The gRPC service: settings, servicers, operations, the composition root and the command line."""
