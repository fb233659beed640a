"""What `stakehold work` does: commands that wait in the inbox, and other work that nobody waits for."""
