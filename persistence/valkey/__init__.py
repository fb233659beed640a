"""The hot path: keys, scripts, batching and replies. The only place that imports redis."""
