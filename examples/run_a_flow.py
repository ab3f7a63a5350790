"""Run a Prefect flow of the catalogue, on the stack of this machine or on one that is started for it."""

from contexten import run_flow

if __name__ == "__main__":
    result = run_flow("learning", timeout=120)
    print(f"{result.name}: {result.state}, {result.url}")
    print(result.result)
