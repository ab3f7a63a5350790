"""How Contexten runs: the embedded stack, the catalogue of deployments and the engine that executes them."""
