"""Examine a running system: eight tests, and a summary whatever fails. Exits with 1 when one does."""

import asyncio
import sys

from contexten.integration_test import run_integration_test


async def main() -> int:
    results = await run_integration_test()
    for name, result in results.items():
        if name != "summary":
            print(f"{result['status']:<8}{name:<24}{result.get('error') or result.get('reason') or ''}")
    print(f"Test Results: {results['summary']['overall_status']}")
    print(f"Success Rate: {results['summary']['success_rate']}%")
    return 0 if results["summary"]["overall_status"] == "PASSED" else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
