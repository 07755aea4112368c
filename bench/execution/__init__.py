"""From a plan to finished runs: preparation, order, workers, the driver."""
