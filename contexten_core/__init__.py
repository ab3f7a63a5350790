"""What Contexten knows: events, projects, prompts, code, tasks, analytics and learning, without Prefect or FastAPI."""
