"""The regression check: is a head as good as its baseline? Exact where bits are promised, statistical elsewhere."""
