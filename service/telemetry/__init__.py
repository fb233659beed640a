"""What is told about the service while it runs: metrics, traces, and the logs that belong to them."""
