"""What staff ask of a running service, and how the answers are written: behind the operators' commands."""
