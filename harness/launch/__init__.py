"""Many jobs as one sweep: planned before it starts, continued where it stopped, one table at its end."""
