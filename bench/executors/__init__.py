"""Where runs execute: in this process, or in a pool of long-lived local workers."""
