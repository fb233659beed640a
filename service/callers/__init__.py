"""Who calls, what they may do, and the record of what was denied or administered."""
