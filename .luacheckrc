std = "lua51"
read_globals = { "redis", "server", "cjson", "cmsgpack", "struct", "bit", "KEYS", "ARGV" }
codes = true
cache = false
max_line_length = 120
