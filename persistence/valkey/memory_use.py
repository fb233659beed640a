"""How much of its memory a primary uses, as INFO memory says."""


def memory_share(info: str) -> float:
    """Memory in use over ``maxmemory``, as the store itself compares them; 0 where there is no limit."""
    facts = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    limit = int(facts.get("maxmemory", "0"))
    if not limit:
        return 0.0
    used = int(facts.get("used_memory", "0")) - int(facts.get("mem_not_counted_for_evict", "0"))
    return used / limit
