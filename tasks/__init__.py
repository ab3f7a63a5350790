"""The seven steps of the lifecycle as Prefect tasks: each a few lines around one call into `contexten_core`."""
