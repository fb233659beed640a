-- How a decision stops where something has to be known first that the script cannot find out: it is run again with
-- the answer. Nothing has been written by then.
local STOPPED = {}

-- `word` says in the reply what is asked; what follows it, what it is asked about.
local function stop_to_ask(word, ...)
  STOPPED[1], STOPPED[2], STOPPED[3] = word, ...
  error(STOPPED)
end

-- Runs `decide`. Where it stopped to ask, the reply says what.
local function unless_stopped(decide)
  local done, reply = pcall(decide)
  if done or reply == STOPPED then
    return reply
  end
  error(reply, 0)
end
