"""Publishing to brokers: real ones, and real publishers."""
