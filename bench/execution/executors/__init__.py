"""In-process, a pool of long-lived workers, a Ray cluster."""
