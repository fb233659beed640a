std = "lua51"
read_globals = { "redis", "server", "cjson", "cmsgpack", "struct", "bit", "KEYS", "ARGV" }
codes = true
cache = false
max_line_length = 120

-- A composed script has its includes whole, also what it does not call.
files["**/set_wallet.lua"].ignore = { "211" }
files["**/restore.lua"].ignore = { "211" }
files["**/read_player.lua"].ignore = { "211" }
