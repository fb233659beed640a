"""From a feed to FxService, round after round. Only the command line and tests know this package."""
