"""The steps of each flow as Prefect tasks: each a few lines around one call into `contexten_core`."""
