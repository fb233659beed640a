"""Providers with protocols of their own: whose word a callback is, what it asks for, how it is answered."""
