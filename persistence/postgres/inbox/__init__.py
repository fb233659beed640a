"""The inbox in Postgres: accepting submissions, reading them, and working them off."""
