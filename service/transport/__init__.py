"""How the service is reached: loopback or TLS, and the channels of our own commands to it."""
