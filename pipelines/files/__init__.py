"""Bytes to pixels: decoding, headers, verification, folders, tar files, shards, the index cache."""
