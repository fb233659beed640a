"""The gRPC services. Each method converts, calls one operation, and converts back; none catches anything."""
