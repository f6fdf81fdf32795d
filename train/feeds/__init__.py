"""Feeds: batches of a loader, epoch by epoch, from any position; `lifecycle.train.feed` picks one."""
