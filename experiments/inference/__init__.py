"""A network after training: loaded, applied under a protocol, explained, exported, served."""
