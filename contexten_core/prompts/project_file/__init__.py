"""`.contexten.yaml`: what a repository says about prompts for itself."""
