"""The wallet service: its gRPC front, its command line, and the place where everything is put together."""
