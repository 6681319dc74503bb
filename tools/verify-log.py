#!/usr/bin/env python3
"""Checks what doc/log-format.md says with nothing of ours: give it plain segments (*.log, oldest
first) and it follows the commit chain through them; give it events (*.ndjson, as exported, oldest
first, and --workspace=ID if they begin with the first) and it follows the event chain."""
import hashlib, json, struct, sys

sha = lambda data: hashlib.sha256(data).digest()
class Number(str): "as it was written: what is stored is canonical already"

def crc32c(data):
    crc = 0xFFFFFFFF
    for bit in (byte >> i & 1 for byte in data for i in range(8)):
        crc = crc >> 1 ^ (0x82F63B78 if (crc ^ bit) & 1 else 0)
    return crc ^ 0xFFFFFFFF

def segment(path, data, before):
    magic, size, prev_end, prev = data[:8], *struct.unpack_from("<I24xQ8x32s", data, 12)
    assert magic == b"TocsinLg", f"{path}: no plain segment"
    assert before in (None, (prev_end, prev)), f"{path}: does not follow the one before"
    at, start, hashes, commits = size, size, b"", 0
    while data[at:at + 4] == b"Tocr":
        length, kind = struct.unpack_from("<IB", data, at + 8)
        record = data[at:at + (length + 7) // 8 * 8]
        if kind == 255:
            stored, begin, count = struct.unpack_from("<32sQI", record, 24)
            right = (sha(prev + hashes), start, len(hashes) // 32)
            assert (stored, begin, count) == right, f"{path}: the commit at {start} is not right"
            assert crc32c(record[8:]) == struct.unpack_from("<I", record, 4)[0], f"{path}: at {at}"
            prev, hashes, commits, start = stored, b"", commits + 1, at + len(record)
        else:
            hashes += sha(record)
        at += len(record)
    print(f"{path}: {commits} commits, {at - start} bytes behind them, closing hash {prev.hex()}")
    return start, prev

def canonical(value):
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(canonical(n) + ":" + canonical(value[n]) for n in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    return value if isinstance(value, Number) else json.dumps(value, ensure_ascii=False)

def events(path, lines, prev):
    added = "integrity actor resource_id resource_name status alerts risk warnings data".split()
    for number, line in enumerate(lines, 1):
        event = json.loads(line, parse_int=Number, parse_float=Number)
        said = event["integrity"]
        kept = {k: v for k, v in event.items() if v is not None and k not in added}
        found = sha(bytes.fromhex(said["previous_event_hash"]) + canonical(kept).encode()).hex()
        assert prev in (None, said["previous_event_hash"]), f"{path}:{number}: the chain is broken"
        assert found == said["event_hash"], f"{path}:{number}: the event has been changed"
        prev = said["event_hash"]
    print(f"{path}: {len(lines)} events, the newest {prev}")

if __name__ == "__main__":
    before = first = None
    try:
        for path in sys.argv[1:]:
            if path.startswith("--workspace="):
                first = sha(b"tocsin event chain 1 " + path[12:].encode()).hex()
            elif path.endswith(".ndjson"):
                events(path, open(path, encoding="utf-8").read().splitlines(), first)
            else:
                before = segment(path, open(path, "rb").read(), before)
    except (AssertionError, KeyError, ValueError, struct.error) as wrong:
        sys.exit(f"verify-log: {wrong}")
